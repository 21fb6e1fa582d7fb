// The worlds of the page of one file: the dream, and recorded drives on the road with the dream beside them.

import { Random } from "./dream.js";
import { unpack } from "./keys.js";
import { begin } from "./population.js";

const NEXT_INTERVAL = 90; // milliseconds between two images of what is likeliest next, while it runs: each costs as much as the dream's

export class DreamWorld {
  /** @param {Object} page  with about, arrays, dream, temperature, evolved, next() */
  constructor(page) {
    this.page = page;
  }

  policies() {
    const { about, evolved } = this.page;
    return ["person", ...(about.policy ? ["controller"] : []), ...(evolved ? ["evolved"] : [])];
  }

  /** The first moment, and its latents. */
  async begin({ seed, warm, z: given }) {
    const { mu, logvar, h, c, first_mu, first_logvar } = this.page.arrays;
    this.coming = null;
    let moment = await begin(this.page.dream, warm ? { mu, logvar, h, c } : { mu: first_mu, logvar: first_logvar }, new Random(seed));
    if (given.length && given.length !== moment.z.length) throw new Error("latents of another model");
    if (given.length) moment = await this.page.dream.observe({ ...moment, z: Float32Array.from(given) });
    return { begun: moment, z: moment.z };
  }

  /** The moment after an action. */
  async step(now, action, random) {
    const { dream, about, temperature } = this.page;
    const { end: end_probability, ...moment } = await dream.step(now, unpack(about.actions, action), random.noise(about), temperature);
    const ended = ends(end_probability, random, temperature);
    return { ...moment, end_probability, end: ended ? "dream-end" : "", paid: ended ? moment.end_reward : moment.reward };
  }

  /** Images, the likeliest next one among them, and what the model says. */
  async show(now, at) {
    const { dream, about, running } = this.page;
    const { z, reward, end_probability, entropy, changed } = now;
    if (!(running && performance.now() - this.coming?.time < NEXT_INTERVAL)) {
      const coming = await dream.step(now, unpack(about.actions, this.page.next()), {}, 0);
      this.coming = { time: performance.now(), image: await dream.image(coming.z) };
    }
    const facts = { z, changed_latents: changed.map(([latent]) => latent) };
    if (at > 0) Object.assign(facts, { predicted_reward: reward, end_probability, entropy });
    return { images: { dream: await dream.image(z), next: this.coming.image }, facts };
  }
}

const TRUE = { steps: 0, recent: [], until: null }; // of a dream that begins

/** A drive on the road as it was recorded, and a dream that takes the same actions. */
export class RecordedRoad {
  constructor(page) {
    this.page = page;
  }

  policies() {
    return [this.drive.policy];
  }

  action(at) {
    const { actions } = this.drive;
    return actions[Math.min(at, actions.length - 1)];
  }

  get outline() {
    return this.drive.outline;
  }

  async begin({ map_name }) {
    this.drive = this.page.about.drives.find((drive) => drive.map_name === map_name) ?? this.page.about.drives[0];
    const [h, c] = ["h", "c"].map((name) => row(this.page.arrays[`drives_${name}`], this.drive.number, this.page.about.drives.length));
    const seen = await this.page.dream.observe({ z: this.z(0), h, c });
    return { begun: { seen, dreamt: seen, dream_ended: false, trust: TRUE }, map_name: this.drive.map_name };
  }

  /** What the model saw in a recorded frame. */
  z(at) {
    const { z_size } = this.page.about;
    const first = (this.drive.first + at) * z_size;
    return this.page.arrays.drives_z.subarray(first, first + z_size);
  }

  async step({ seen, dreamt, dream_ended, trust }, action, random, at) {
    const { dream, about, temperature } = this.page;
    const [{ h, c }] = await dream.steps([{ moment: seen, action, noise: {} }], 0);
    const next = { seen: await dream.observe({ z: this.z(at), h, c }), dreamt, dream_ended };
    if (!dream_ended) {
      next.dreamt = await dream.step(dreamt, action, random.noise(about), temperature);
      next.dream_ended = ends(next.dreamt.end, random, temperature);
    }
    const end = at === this.drive.actions.length ? this.drive.end : "";
    return { ...next, trust: after(trust, this.error(next, end), about.trust), paid: this.drive.rewards[at], end };
  }

  /** How far the dream is from the road across the lane [m]; infinite where it alone has ended. */
  error({ seen, dreamt, dream_ended }, end) {
    if (dream_ended && !end) return Infinity;
    return this.page.arrays.probe_weights ? Math.abs(this.lane(dreamt.z) - this.lane(seen.z)) : 0;
  }

  /** The dream begins again at this moment of the road. */
  sync(now) {
    return { ...now, dreamt: now.seen, dream_ended: false, trust: TRUE };
  }

  async show({ seen, dreamt, dream_ended, trust }, at) {
    const { dream } = this.page;
    const [reconstruction, dreamed] = [await dream.image(seen.z), await dream.image(dreamt.z)];
    const images = { camera: this.frame(at), dream: dreamed, reconstruction };
    return { images, facts: { ...this.drive.facts[at], dream_ended, ...this.apart(seen.z, dreamt.z, reconstruction, dreamed, trust) } };
  }

  frame(at) {
    const { drives_webp: bytes, drives_ends: ends } = this.page.arrays;
    const number = this.drive.first + at;
    return { width: this.drive.side, height: this.drive.side, coding: "webp", bytes: bytes.subarray(number ? ends[number - 1] : 0, ends[number]) };
  }

  /** How far the dream is from the road: across the lane in metres, or in grey levels where there is no probe. */
  apart(seen, dreamt, reconstruction, dreamed, { until }) {
    const { probe_weights } = this.page.arrays;
    if (probe_weights) return { dream_lane_dist: this.lane(dreamt), apart: this.lane(dreamt) - this.lane(seen), true_until: until };
    const sum = dreamed.bytes.reduce((all, value, k) => all + Math.abs(value - reconstruction.bytes[k]), 0);
    return { apart_image: sum / dreamed.bytes.length };
  }

  /** What the probe reads from latents, as dreamduck.evaluation.lane_probe does. */
  lane(z) {
    const { probe_mean: mean, probe_std: std, probe_weights: weights } = this.page.arrays;
    const scaled = Float32Array.from(z, (value, i) => Math.max(-4, Math.min(4, (value - mean[i]) / std[i])));
    let at = 0;
    let sum = weights[at++];
    for (const value of scaled) sum += weights[at++] * value;
    for (let i = 0; i < scaled.length; i++) for (let j = i; j < scaled.length; j++) sum += weights[at++] * scaled[i] * scaled[j];
    return sum;
  }
}

/** Until when the dream was true, after one more step, as dreamduck.web.trust has it. */
function after(trust, error, { limit, window }) {
  const [steps, recent] = [trust.steps + 1, [...trust.recent, error].slice(-window)];
  const wrong = recent.length === window && recent.reduce((a, b) => a + b) / window > limit;
  const until = error === Infinity ? trust.steps : wrong ? steps - window : null;
  return { steps, recent, until: trust.until ?? until };
}

/** Whether an episode ends; at temperature 0 what is likelier. */
function ends(probability, random, temperature) {
  return (temperature > 0 ? random.uniform() : 0.5) < probability;
}

/** One of `count` rows that lie one after the other. */
function row(values, number, count) {
  return values.subarray(number * values.length / count, (number + 1) * values.length / count);
}
