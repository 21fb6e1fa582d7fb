// A slider for each latent, with what it changes; the ones that vary most come first.

import { paint } from "./view.js";

const VIEWS = { low: -3, middle: 0, high: 3 };

export class Latents {
  /**
   * @param {{box: HTMLElement, views: HTMLElement}} places  where the sliders go, and the images of the one that is held
   * @param {{change: function(number, number), view: function(number)}} on  a latent has a new value; its images are wanted
   */
  constructor(places, on) {
    Object.assign(this, places, { on, sliders: new Map(), held: null, viewed: null });
    for (const [name, value] of Object.entries(VIEWS)) {
      const button = document.createElement("button");
      const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
      button.dataset.view = name;
      button.append(canvas, String(value).replace("-", "\u2212"));
      button.disabled = true;
      button.addEventListener("click", () => this.set(this.viewed, value));
      this.views.append(button);
    }
  }

  /** Make the sliders of [latent, what it changes] pairs. */
  begin(order) {
    this.sliders.clear();
    this.box.replaceChildren(...order.map(([latent, name]) => this.slider(latent, name)));
  }

  slider(latent, name) {
    const label = document.createElement("label");
    const [number, says, output] = ["span", "small", "span"].map((tag) => document.createElement(tag));
    const input = Object.assign(document.createElement("input"), { type: "range", min: -4, max: 4, step: 0.01, value: 0 });
    number.textContent = latent;
    says.textContent = name;
    output.className = "value";
    input.dataset.latent = latent;
    input.addEventListener("input", () => this.set(latent, Number(input.value)));
    input.addEventListener("pointerdown", () => (this.held = latent));
    input.addEventListener("pointerup", () => (this.held = null));
    input.addEventListener("focus", () => this.look(latent));
    // Not "enter": a list that is scrolled comes under a pointer that rests.
    label.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && this.look(latent));
    label.append(number, input, output, says);
    this.sliders.set(latent, { label, input, output });
    return label;
  }

  set(latent, value) {
    const { label, input, output } = this.sliders.get(latent);
    input.value = value;
    output.textContent = value.toFixed(2);
    label.classList.add("changed");
    this.on.change(latent, value);
  }

  /** Ask for the images of this latent at its values. */
  look(latent) {
    if (this.held !== null || latent === this.viewed) return;
    this.viewed = latent;
    for (const { label } of this.sliders.values()) label.classList.toggle("viewed", label === this.sliders.get(latent).label);
    this.on.view(latent);
  }

  /** Show the images that were asked for. */
  showViews({ latent }, images) {
    if (latent !== this.viewed) return;
    for (const button of this.views.children) {
      button.disabled = false;
      button.setAttribute("aria-label", `Latent ${latent} at ${VIEWS[button.dataset.view]}`);
      paint(button.firstElementChild, images[button.dataset.view]);
    }
  }

  /** Show the latents of a moment, but leave the slider that is being moved. */
  show(z, changed) {
    for (const [latent, { label, input, output }] of this.sliders) {
      if (latent === this.held || z[latent] === undefined) continue;
      input.value = z[latent];
      output.textContent = z[latent].toFixed(2);
      label.classList.toggle("changed", changed.includes(latent));
    }
  }
}
