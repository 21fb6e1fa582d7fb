// What the arrow keys mean in an environment; as dreamduck.recordings.sources.arrow_keys has it.

const PRESSED = 0.2; // of an arrow key's number, beyond which it chooses a discrete action

/** Which way a number points: -1, 0 or 1. */
const way = (value) => (value > PRESSED) - (value < -PRESSED);

/**
 * The action that goes into the dynamics.
 * @param {Object} actions - kind, size, and where a number rests while no key is pressed
 * @param {number[]} pressed - throttle and steering
 */
export function fromKeys({ kind, size, rest }, [throttle, steering]) {
  if (kind === "drive") return [throttle, steering];
  if (kind === "discrete") return oneHot(size, chosen(size, way(throttle), way(steering)));
  const vector = [...rest];
  const push = (number, by) => (vector[number] = rest[number] + by * (by > 0 ? 1 - rest[number] : rest[number] + 1));
  push(0, -steering);
  if (size > 1) push(1, throttle);
  if (size > 2 && rest[1] <= -1) push(2, Math.max(-throttle, 0));
  return vector;
}

const oneHot = (size, chosen) => Array.from({ length: size }, (_, action) => Number(action === chosen));

function chosen(size, up, left) {
  if (size === 2) return Number(left < 0);
  const wanted = left ? (left > 0 ? 1 : 2) : up ? (up > 0 ? 3 : 4) : 0;
  return wanted < size ? wanted : 0;
}
