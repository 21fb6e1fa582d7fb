// The world model in the browser: dynamics and decoder by ONNX Runtime, the draw in JavaScript; here the MDN-RNN,
// in categorical.js the other kind. The same arithmetic as dreamduck.world_model.mdn_rnn and dreamduck.world_model.vae; `check` holds the two together.

export class Dream {
  /**
   * @param {Object} ort  ONNX Runtime
   * @param {Object} about  z_size, hidden_size, cell_size, low and high (the range of each latent); sizes of the kind
   * @param {Object} graphs  ONNX graphs, by name
   */
  constructor(ort, about, graphs) {
    Object.assign(this, { ort, about, graphs });
  }

  async load() {
    for (const [name, graph] of Object.entries(this.graphs)) this.graphs[name] = await this.ort.InferenceSession.create(graph);
    return this;
  }

  /** Run a graph on the rows of B dreams, by name; gives B objects of rows, by name. */
  async run(graph, inputs) {
    const tensor = (rows) => {
      const data = new Float32Array(rows.length * rows[0].length);
      rows.forEach((row, k) => data.set(row, k * row.length));
      return new this.ort.Tensor("float32", data, [rows.length, rows[0].length]);
    };
    const count = Object.values(inputs)[0].length;
    const out = await this.graphs[graph].run(Object.fromEntries(Object.entries(inputs).map(([name, rows]) => [name, tensor(rows)])));
    return Array.from({ length: count }, (_, k) => Object.fromEntries(
      Object.entries(out).map(([name, { data }]) => [name, data.subarray(k * data.length / count, (k + 1) * data.length / count)]),
    ));
  }

  /** The beginning of a dream at latents z, and the state before them; by default, none. */
  async begin(z, h = new Float32Array(this.about.hidden_size), c = new Float32Array(this.about.cell_size)) {
    return { z, h, c, reward: 0, end: 0, entropy: 0 };
  }

  /** A moment whose latents were set. */
  async observe(moment) {
    return moment;
  }

  /** The moment after an action, as `steps` gives it. */
  async step(moment, action, noise, temperature) {
    return (await this.steps([{ moment, action, noise }], temperature))[0];
  }

  /**
   * The moments after actions, each in a dream of its own.
   * @param {{moment: Object, action: number[], noise: {uniform: Float32Array, normal: Float32Array}}[]} dreams  of the
   *   noise, here one number each for every latent
   * @param {number} temperature  0 takes the likeliest
   */
  async steps(dreams, temperature) {
    const inputs = { z: dreams.map(({ moment }) => moment.z), action: dreams.map(({ action }) => action) };
    for (const name of ["h", "c"]) inputs[name] = dreams.map(({ moment }) => moment[name]);
    return (await this.run("mdn_rnn", inputs)).map((predicted, k) => ({
      z: this.draw(predicted, dreams[k].noise, temperature), h: predicted.h_next, c: predicted.c_next,
      reward: predicted.reward[0], end_reward: predicted.end_reward[0], end: predicted.end[0], entropy: this.entropy(predicted),
    }));
  }

  draw({ logmix, mix_mu, mix_logstd }, { uniform, normal }, temperature) {
    const { z_size, mixtures, low, high } = this.about;
    const z = new Float32Array(z_size);
    const weights = new Float64Array(mixtures);
    for (let i = 0; i < z_size; i++) {
      let most = 0;
      for (let k = 1; k < mixtures; k++) if (logmix[k * z_size + i] > logmix[most * z_size + i]) most = k;
      let chosen = most;
      if (temperature > 0) {
        let total = 0;
        for (let k = 0; k < mixtures; k++) total += weights[k] = Math.exp((logmix[k * z_size + i] - logmix[most * z_size + i]) / temperature);
        let point = uniform[i] * total;
        for (chosen = 0; chosen < mixtures - 1 && point > weights[chosen]; chosen++) point -= weights[chosen];
      }
      const deviation = temperature > 0 ? Math.exp(mix_logstd[chosen * z_size + i]) * Math.sqrt(temperature) * normal[i] : 0;
      z[i] = Math.max(low[i], Math.min(high[i], mix_mu[chosen * z_size + i] + deviation));
    }
    return z;
  }

  entropy({ logmix }) {
    let sum = 0;
    for (const value of logmix) sum -= Math.exp(value) * value;
    return sum / this.about.z_size;
  }

  /** The image of latents: channel by channel, 3 x 64 x 64 numbers in [0, 1]. */
  async decode(z) {
    return (await this.run("decoder", { z: [z] }))[0].image;
  }

  /** The same as RGB bytes, as `paint` takes them. */
  async image(z) {
    const planes = await this.decode(z);
    const bytes = new Uint8ClampedArray(64 * 64 * 3);
    for (let at = 0; at < 64 * 64; at++) for (let c = 0; c < 3; c++) bytes[3 * at + c] = planes[c * 4096 + at] * 255;
    return { width: 64, height: 64, coding: "rgb", bytes };
  }

  /**
   * Dream what Python dreamt, and compare.
   * @returns {Promise<Object>} the greatest differences of z, rewards, end and image, and the steps
   */
  async check({ steps, temperature, action, uniform, normal, first, z, reward, end_reward, end, frames, every }) {
    const { z_size, uniform_size, normal_size } = this.about;
    const worst = { steps, z: 0, reward: 0, end_reward: 0, end: 0, image: 0 };
    const differ = (name, a, b) => (worst[name] = Math.max(worst[name], Math.abs(a - b)));
    let moment = await this.begin(first);
    for (let t = 0; t < steps; t++) {
      const row = (values, width) => values.subarray(t * width, (t + 1) * width);
      const noise = { uniform: row(uniform, uniform_size), normal: row(normal, normal_size) };
      moment = await this.step(moment, row(action, 2), noise, temperature);
      row(z, z_size).forEach((value, i) => differ("z", value, moment.z[i]));
      differ("reward", reward[t], moment.reward);
      differ("end_reward", end_reward[t], moment.end_reward);
      differ("end", end[t], moment.end);
      if ((t + 1) % every === 0) {
        const planes = await this.decode(moment.z);
        const from = ((t + 1) / every - 1) * 12288;
        // Python's images are integers, so that half of one is no difference.
        for (let at = 0; at < 4096; at++) for (let c = 0; c < 3; c++)
          worst.image = Math.max(worst.image, (Math.abs(planes[c * 4096 + at] * 255 - frames[from + 3 * at + c]) - 0.5) / 255);
      }
    }
    return worst;
  }
}

/** Random numbers that a seed decides: uniform in [0, 1), and standard normal. */
export class Random {
  constructor(...key) {
    this.state = key.reduce((hash, part) => Math.imul(hash ^ part, 0x9e3779b1) ^ (hash >>> 15), 0x2545f491);
    for (let k = 0; k < 8; k++) this.uniform();
  }

  uniform() {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  noise({ uniform_size, normal_size }) {
    const uniform = Float32Array.from({ length: uniform_size }, () => this.uniform());
    return { uniform, normal: Float32Array.from({ length: normal_size }, () => this.normal()) };
  }
}

/** What a controller does at a moment; `form` and `theta` as dreamduck.controllers has them. */
export function control({ form, theta }, { z, h, c }) {
  let values = Float64Array.from([...z, ...(form.features.includes("c") ? c : []), ...(form.features.includes("h") ? h : [])]);
  let at = 0;
  for (const [inputs, outputs] of form.layers) {
    const next = new Float64Array(outputs);
    if (form.bias) for (let j = 0; j < outputs; j++) next[j] = theta[at++];
    for (let i = 0; i < inputs; i++) for (let j = 0; j < outputs; j++) next[j] += values[i] * theta[at++];
    values = next.map(Math.tanh);
  }
  return form.actions === 1 ? [form.cruise, values[0]] : [values[0], values[1]];
}
