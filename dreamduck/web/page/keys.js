// What the arrow keys mean in an environment; as dreamduck.recordings.sources.arrow_keys has it.

const PRESSED = 0.2; // of an arrow key's number, beyond which it chooses a discrete action

/** Which way a number points: -1, 0 or 1. */
const way = (value) => (value > PRESSED) - (value < -PRESSED);

/**
 * The action that goes into the dynamics.
 * @param {Object} actions - kind, size, where a number rests while no key is pressed; of discrete actions what no key,
 *   left, right, up and down choose
 * @param {number[]} pressed - throttle and steering
 */
export function fromKeys({ kind, size, rest, keys }, [throttle, steering]) {
  if (kind === "drive") return [throttle, steering];
  if (kind === "discrete") return oneHot(size, keys[pressedKey(way(throttle), way(steering))]);
  const vector = [...rest];
  const push = (number, by) => (vector[number] = rest[number] + by * (by > 0 ? 1 - rest[number] : rest[number] + 1));
  push(0, -steering);
  if (size > 1) push(1, throttle);
  if (size > 2 && rest[1] <= -1) push(2, Math.max(-throttle, 0));
  return vector;
}

const oneHot = (size, chosen) => Array.from({ length: size }, (_, action) => Number(action === chosen));

const pressedKey = (up, left) => (left ? (left > 0 ? 1 : 2) : up ? (up > 0 ? 3 : 4) : 0);

// Two integers a step hold any action, as links and episodes keep them: two numbers on the grid of episode.js.

const BITS = 15; // of each
const GRID = 32767;
const top = (size) => 2 ** Math.floor((2 * BITS) / size) - 2; // of a number's scale, even, so that it has 0
const pair = (code) => [(code % 2 ** BITS) / GRID, Math.floor(code / 2 ** BITS) / GRID];

/** An action of the dynamics in two numbers. */
export function pack({ kind, size }, vector) {
  const wanted = [...vector].map((value) => Math.max(-1, Math.min(1, value)));
  if (kind === "discrete") return pair(wanted.indexOf(Math.max(...wanted)));
  if (size <= 2) return [wanted[0], wanted[1] ?? 0];
  return pair(wanted.reduceRight((code, value) => code * (top(size) + 1) + Math.round(((value + 1) / 2) * top(size)), 0));
}

/** The action in two numbers. */
export function unpack({ kind, size }, packed) {
  if (kind !== "discrete" && size <= 2) return packed.slice(0, size);
  const [low, high] = packed.map((value) => Math.abs(Math.round(value * GRID)));
  let code = low + high * 2 ** BITS;
  if (kind === "discrete") return oneHot(size, Math.min(code, size - 1));
  return Array.from({ length: size }, () => {
    const digit = code % (top(size) + 1);
    code = Math.floor(code / (top(size) + 1));
    return (2 * digit) / top(size) - 1;
  });
}

/** An action for the gauges: up and down, left and right. */
export function shown({ kind, size }, packed) {
  if (kind === "drive") return packed;
  if (kind === "discrete") return [0, 0];
  const vector = unpack({ kind, size }, packed);
  return [vector[1] ?? 0, -vector[0]];
}
