// The world model in the browser: the MDN-RNN and the decoder by ONNX Runtime, the draw in JavaScript.
// The same arithmetic as dreamduck.world_model.mdn_rnn and dreamduck.world_model.vae; `check` holds the two together.

export class Dream {
  /**
   * @param {Object} ort  ONNX Runtime
   * @param {Object} about  z_size, hidden_size, mixtures, low and high (the range of each latent)
   */
  constructor(ort, about, mdnRnn, decoder) {
    Object.assign(this, { ort, about, mdnRnn, decoder });
  }

  static async load(ort, about, mdnRnn, decoder) {
    const [first, second] = [await ort.InferenceSession.create(mdnRnn), await ort.InferenceSession.create(decoder)];
    return new Dream(ort, about, first, second);
  }

  /** The beginning of a dream at latents z, and the state before them; by default, none. */
  begin(z, h = new Float32Array(this.about.hidden_size), c = new Float32Array(this.about.hidden_size)) {
    return { z, h, c, reward: 0, end: 0, entropy: 0 };
  }

  /** What the MDN-RNN predicts for the next moment. */
  async predict({ z, h, c }, action) {
    const row = (values) => new this.ort.Tensor("float32", Float32Array.from(values), [1, values.length]);
    const out = await this.mdnRnn.run({ z: row(z), action: row(action), h: row(h), c: row(c) });
    return Object.fromEntries(Object.entries(out).map(([name, tensor]) => [name, tensor.data]));
  }

  /**
   * The moment after an action.
   * @param {{uniform: Float32Array, normal: Float32Array}} noise  one number each for every latent
   * @param {number} temperature  0 takes the likeliest
   */
  async step(moment, action, noise, temperature) {
    const predicted = await this.predict(moment, action);
    const z = this.draw(predicted, noise, temperature);
    return { z, h: predicted.h_next, c: predicted.c_next, reward: predicted.reward[0], end_reward: predicted.end_reward[0], end: predicted.end[0], entropy: this.entropy(predicted) };
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
    const { image } = await this.decoder.run({ z: new this.ort.Tensor("float32", Float32Array.from(z), [1, z.length]) });
    return image.data;
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
    const size = this.about.z_size;
    const worst = { steps, z: 0, reward: 0, end_reward: 0, end: 0, image: 0 };
    const differ = (name, a, b) => (worst[name] = Math.max(worst[name], Math.abs(a - b)));
    let moment = this.begin(first);
    for (let t = 0; t < steps; t++) {
      const row = (values, width = size) => values.subarray(t * width, (t + 1) * width);
      moment = await this.step(moment, row(action, 2), { uniform: row(uniform), normal: row(normal) }, temperature);
      row(z).forEach((value, i) => differ("z", value, moment.z[i]));
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

  noise(size) {
    const uniform = Float32Array.from({ length: size }, () => this.uniform());
    return { uniform, normal: Float32Array.from({ length: size }, () => this.normal()) };
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
