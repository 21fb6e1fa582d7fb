// The categorical state-space model in the browser: the same arithmetic as dreamduck.world_model.categorical.

import { Dream } from "./dream.js";

export class CategoricalDream extends Dream {
  /** The beginning of a dream: s is what is likeliest. */
  async begin(...given) {
    return this.observe(await super.begin(...given));
  }

  /** A moment whose latents were set: s becomes what is likeliest. */
  async observe(moment) {
    const [{ probabilities }] = await this.run("posterior", { z: [moment.z], h: [moment.h] });
    return { ...moment, c: this.choose(probabilities, [], 0) };
  }

  /** See Dream; the noise is a uniform number for every variable. */
  async steps(dreams, temperature) {
    const inputs = { action: dreams.map(({ action }) => action) };
    for (const name of ["h", "c"]) inputs[name] = dreams.map(({ moment }) => moment[name]);
    const predicted = await this.run("prior", inputs);
    const h = predicted.map(({ h_next }) => h_next);
    const c = predicted.map(({ probabilities }, k) => this.choose(probabilities, dreams[k].noise.uniform, temperature));
    const latents = await this.run("latent", { h, c });
    return predicted.map(({ probabilities, reward, end_reward, end }, k) => ({
      z: latents[k].z, h: h[k], c: c[k], reward: reward[0], end_reward: end_reward[0], end: end[0], entropy: this.entropy(probabilities),
    }));
  }

  /** One class of each variable: one-hot vectors side by side. */
  choose(probabilities, uniform, temperature) {
    const { variables, classes } = this.about;
    const s = new Float32Array(variables * classes);
    for (let g = 0; g < variables; g++) {
      const likely = probabilities.slice(g * classes, (g + 1) * classes);
      const most = likely.reduce((a, b) => Math.max(a, b));
      let chosen = likely.indexOf(most);
      if (temperature > 0) {
        const weights = Array.from(likely, (p) => (p / most) ** (1 / temperature));
        let point = uniform[g] * weights.reduce((a, b) => a + b);
        for (chosen = 0; chosen < classes - 1 && point >= weights[chosen]; chosen++) point -= weights[chosen];
      }
      s[g * classes + chosen] = 1;
    }
    return s;
  }

  entropy(probabilities) {
    let sum = 0;
    for (const p of probabilities) sum -= p * Math.log(p);
    return sum / this.about.variables;
  }
}
