// A worker of the search: dreams with every controller that it is sent, many dreams in each run of the graphs.

import { Random, control } from "./dream.js";
import { load } from "./offline_model.js";

/**
 * What controllers get. All meet the same beginnings and the same chance, so that the better one is seen sooner.
 * @param {Object} dream  see dream.js
 * @param {Object} starts  mu, logvar, and h and c where there are any, all rows one after the other
 * @param {{form: Object, thetas: Float32Array[], seed: number, episodes: number, steps: number, temperature: number}} what
 * @returns {Promise<{reward: number, progress: number, ended: number}[]>} for each: the mean reward of an episode, that
 *   of its steps but for the one that ends it, the share that ended
 */
export async function evaluate(dream, starts, { form, thetas, seed, episodes, steps, temperature }) {
  const chance = Array.from({ length: episodes }, (_, episode) => new Random(seed, episode));
  const begun = [];
  for (const random of chance) begun.push(await begin(dream, starts, random));
  const results = thetas.map(() => ({ reward: 0, progress: 0, ended: 0 }));
  let rows = thetas.flatMap((theta, k) => begun.map((moment, episode) => ({ theta, moment, episode, result: results[k] })));
  for (let step = 0; step < steps && rows.length; step++) {
    const noise = chance.map((random) => ({ ...random.noise(dream.about), end: random.uniform() }));
    const dreams = rows.map(({ theta, moment, episode }) => ({ moment, action: control({ form, theta }, moment), noise: noise[episode] }));
    const moments = await dream.steps(dreams, temperature);
    rows = rows.filter((row, k) => {
      row.moment = moments[k];
      const ended = noise[row.episode].end < row.moment.end;
      row.result.reward += (ended ? row.moment.end_reward : row.moment.reward) / episodes;
      row.result.progress += (ended ? 0 : row.moment.reward) / episodes;
      row.result.ended += ended / episodes;
      return !ended;
    });
  }
  return results;
}

/** A beginning that random numbers choose. */
export function begin(dream, { mu, logvar, h, c }, random) {
  const { z_size, low, high } = dream.about;
  const count = mu.length / z_size;
  const number = Math.floor(random.uniform() * count);
  const row = (values) => values.subarray(number * values.length / count, (number + 1) * values.length / count);
  const [mean, variance] = [row(mu), row(logvar)];
  const drawn = (i) => mean[i] + Math.exp(variance[i] / 2) * random.normal();
  const z = Float32Array.from({ length: z_size }, (_, i) => Math.max(low[i], Math.min(high[i], drawn(i))));
  return h ? dream.begin(z, row(h), row(c)) : dream.begin(z);
}

if (typeof document === "undefined" && typeof postMessage === "function") {
  let dream = null;
  let starts = null;
  const handlers = {
    async load({ blocks, about, starts: given }) {
      dream = await load(blocks, about);
      starts = given;
    },
    evaluate: (what) => evaluate(dream, starts, what),
  };
  // One after the other: the runtime does one thing at a time.
  let last = Promise.resolve();
  addEventListener("message", ({ data: { id, type, ...values } }) => {
    last = last.then(() => handlers[type](values)).then((result) => postMessage({ id, result }), (error) => postMessage({ id, error: `${error}` }));
  });
}
