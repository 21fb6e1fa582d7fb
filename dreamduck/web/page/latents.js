// A slider for each latent; the ones that vary most come first.

export class Latents {
  /**
   * @param {HTMLElement} box  where the sliders go
   * @param {function(number, number)} change  called with the latent and its new value
   */
  constructor(box, change) {
    this.box = box;
    this.change = change;
    this.sliders = new Map();
    this.held = null;
  }

  /** Make the sliders. */
  begin(order) {
    this.sliders.clear();
    this.box.replaceChildren(...order.map((latent) => this.slider(latent)));
  }

  slider(latent) {
    const label = document.createElement("label");
    const name = document.createElement("span");
    const input = Object.assign(document.createElement("input"), { type: "range", min: -4, max: 4, step: 0.01, value: 0 });
    const output = document.createElement("output");
    name.textContent = latent;
    input.dataset.latent = latent;
    input.setAttribute("aria-label", `Latent ${latent}`);
    input.addEventListener("input", () => {
      output.textContent = Number(input.value).toFixed(2);
      label.classList.add("changed");
      this.change(latent, Number(input.value));
    });
    input.addEventListener("pointerdown", () => (this.held = latent));
    input.addEventListener("pointerup", () => (this.held = null));
    label.append(name, input, output);
    this.sliders.set(latent, { label, input, output });
    return label;
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
