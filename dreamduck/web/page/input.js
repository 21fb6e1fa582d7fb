// Keys, a round pad for touch and mouse, and a gamepad, as throttle and steering.

const KEYS = {
  ArrowUp: "up", KeyW: "up", ArrowDown: "down", KeyS: "down",
  ArrowLeft: "left", KeyA: "left", ArrowRight: "right", KeyD: "right",
  ShiftLeft: "boost", ShiftRight: "boost",
};
const FORWARD = 0.5;
const TURNING = 0.35; // slower while steering: at half throttle the car does not get round a right-hand bend
const RAMP = 7; // a second: a key's effect grows to the full in 1/7 s
const DEAD = 0.12; // of a stick
// Buttons of a gamepad that do what keys do: start, select, the two at the shoulders, the left and the upper one.
const BUTTONS = { 9: "Space", 8: "KeyR", 4: "Comma", 5: "Period", 2: "KeyT", 3: "KeyM" };

export class Controls {
  /** @param {HTMLElement} pad  the round pad; its first child is the knob */
  constructor(pad) {
    this.pressed = new Set();
    this.value = { throttle: 0, steering: 0 };
    this.stick = null; // of the pad, while it is held
    this.down = new Set(); // buttons of the gamepad
    this.begun = false; // whether a key, the pad or a stick has begun to drive since this was last made false
    this.moved = false; // whether a gamepad's stick or trigger is
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    this.watchPad(pad);
  }

  key(event, down) {
    const meaning = KEYS[event.code];
    if (!meaning || event.ctrlKey || event.metaKey || event.altKey || (down && typing(event))) return;
    if (down && !this.pressed.has(meaning) && meaning !== "boost") this.begun = true;
    if (down) this.pressed.add(meaning);
    else this.pressed.delete(meaning);
    if (event.code.startsWith("Arrow")) event.preventDefault(); // the page must not scroll
  }

  release() {
    this.pressed.clear();
    this.stick = null;
  }

  pressButtons() {
    for (const [number, code] of Object.entries(BUTTONS)) {
      const down = gamepads().some((pad) => pad.buttons[number]?.pressed);
      if (down && !this.down.has(code)) dispatchEvent(new KeyboardEvent("keydown", { code }));
      if (down) this.down.add(code);
      else this.down.delete(code);
    }
  }

  watchPad(pad) {
    const knob = pad.firstElementChild;
    const move = (event) => {
      const box = pad.getBoundingClientRect();
      let x = (event.clientX - box.left) / box.width * 2 - 1;
      let y = 1 - (event.clientY - box.top) / box.height * 2;
      const far = Math.max(1, Math.hypot(x, y));
      x /= far;
      y /= far;
      this.stick = { throttle: dead(y), steering: -dead(x) };
      knob.style.transform = `translate(${x * box.width * 0.34}px, ${-y * box.height * 0.34}px)`;
    };
    const end = () => {
      this.stick = null;
      knob.style.transform = "";
    };
    pad.addEventListener("pointerdown", (event) => {
      this.begun = true;
      pad.setPointerCapture(event.pointerId);
      move(event);
    });
    pad.addEventListener("pointermove", (event) => this.stick && move(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(type, end);
  }

  /** The action now; to be called once a frame, `seconds` after the last time. */
  update(seconds) {
    this.pressButtons();
    const moved = gamepad();
    if (moved && !this.moved) this.begun = true;
    this.moved = Boolean(moved);
    const direct = this.stick ?? moved;
    if (direct) return (this.value = direct);
    const p = this.pressed;
    const steer = p.has("left") - p.has("right");
    const boost = p.has("boost") ? 2 : 1;
    const target = {
      throttle: clip((p.has("up") - p.has("down")) * (steer ? TURNING : FORWARD) * boost),
      steering: clip(steer * 0.8 * boost),
    };
    const most = RAMP * seconds;
    for (const name of ["throttle", "steering"]) {
      const missing = target[name] - this.value[name];
      // Letting go counts at once: a car that keeps steering after the key is up cannot be controlled.
      this.value[name] = target[name] === 0 ? 0 : this.value[name] + Math.max(-most, Math.min(most, missing));
    }
    return this.value;
  }
}

/** After a click the keys drive again, instead of going to what was clicked. */
export function letKeysDrive() {
  let clicked = false; // whoever goes from field to field by keys stays there
  const leave = () => document.activeElement?.blur();
  addEventListener("pointerdown", () => (clicked = true), true);
  addEventListener("keydown", ({ key, target }) => {
    clicked = false;
    if (key === "Escape" || (key === "Enter" && target.matches?.("input[type=number]"))) leave();
  }, true);
  addEventListener("pointerup", ({ target }) => {
    if (target.closest?.("button, input[type=range], input[type=checkbox], summary")) leave();
  });
  addEventListener("change", ({ target }) => clicked && target.matches?.("select, input[type=number]") && leave());
}

/** Whether a key belongs to what has the focus rather than to the car: letters to text, arrows also to sliders. */
export function typing({ target, code }) {
  if (!(target instanceof Element)) return false;
  if (target.matches("input[type=range]")) return /^(Arrow|Page|Home|End)/.test(code);
  return target.matches("input:not([type=checkbox], [type=file], [readonly]), select, textarea");
}

const gamepads = () => [...(navigator.getGamepads?.() ?? [])].filter((pad) => pad?.connected);

function gamepad() {
  for (const pad of gamepads()) {
    const pulled = (pad.buttons[7]?.value ?? 0) - (pad.buttons[6]?.value ?? 0); // triggers
    const throttle = pulled || dead(-(pad.axes[1] ?? 0));
    const steering = -dead(pad.axes[0] ?? 0);
    if (throttle || steering) return { throttle: clip(throttle), steering: clip(steering) };
  }
  return null;
}

const clip = (value) => Math.max(-1, Math.min(1, value));
const dead = (value) => (Math.abs(value) < DEAD ? 0 : (value - Math.sign(value) * DEAD) / (1 - DEAD));
