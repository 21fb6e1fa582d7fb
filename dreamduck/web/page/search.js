// The search for a controller in the dream, over workers; settings come from dreamduck.export.evolution.

import { Random } from "./dream.js";
import { Evolution } from "./evolution.js";
import { workerAddress } from "./offline_model.js";

const SEARCHED = 1000000; // seeds of the search count from 0; those that choose among its results, and the test's, from here on

/** Workers that share out controllers among them. */
export class Workers {
  constructor(count) {
    const address = workerAddress("population.js");
    this.workers = Array.from({ length: count }, () => new Worker(address, { type: "module" }));
    this.answers = new Map();
    this.asked = 0;
    for (const worker of this.workers) {
      worker.addEventListener("message", ({ data: { id, result, error } }) => {
        const [resolve, reject] = this.answers.get(id);
        this.answers.delete(id);
        if (error) reject(new Error(error));
        else resolve(result);
      });
      worker.addEventListener("error", ({ message }) => this.answers.forEach(([, reject]) => reject(new Error(message || "a worker did not start"))));
    }
  }

  /** Send one worker a message; its answer. */
  ask(worker, type, values) {
    const id = (this.asked += 1);
    return new Promise((resolve, reject) => {
      this.answers.set(id, [resolve, reject]);
      worker.postMessage({ id, type, ...values });
    });
  }

  load(values) {
    return Promise.all(this.workers.map((worker) => this.ask(worker, "load", values)));
  }

  /** What each controller gets, as `evaluate` of population.js. */
  async evaluate({ thetas, ...what }) {
    const share = Math.ceil(thetas.length / this.workers.length);
    const parts = this.workers.map((worker, k) => [worker, thetas.slice(k * share, (k + 1) * share)]).filter(([, part]) => part.length);
    return (await Promise.all(parts.map(([worker, part]) => this.ask(worker, "evaluate", { thetas: part, ...what })))).flat();
  }

  close() {
    for (const worker of this.workers) worker.terminate();
  }
}

export class Search {
  /**
   * @param {Object} settings  see dreamduck.export.evolution
   * @param {{feature_mean: Float32Array, projection: Float32Array}} arrays  what controllers look at
   * @param {{evaluate: function(Object): Promise<Object[]>}} workers
   */
  constructor(settings, arrays, workers) {
    Object.assign(this, { settings, arrays, workers, best: null, dreamt: 0 });
    const size = settings.outputs * (1 + settings.components);
    this.evolution = new Evolution(size, settings.population, settings.sigma, new Random(settings.seed));
  }

  /** The controller whose weights on the components are x. */
  expand(x) {
    const { components: K, outputs } = this.settings;
    const { feature_mean: mean, projection } = this.arrays;
    const theta = new Float64Array(outputs * (1 + mean.length));
    for (let j = 0; j < outputs; j++) {
      theta[j] = x[j];
      for (let i = 0; i < mean.length; i++) {
        let weight = 0;
        for (let k = 0; k < K; k++) weight += projection[i * K + k] * x[outputs * (1 + k) + j];
        theta[outputs * (1 + i) + j] = weight;
        theta[j] -= mean[i] * weight;
      }
    }
    return Float32Array.from(theta);
  }

  /** The mean of the search's distribution. */
  get theta() {
    return this.expand(this.evolution.mean);
  }

  /** One generation; the returns of its candidates. */
  async next() {
    const { form, episodes, steps, temperature, end_cost, weight_decay, compare_every } = this.settings;
    const candidates = this.evolution.ask();
    const what = { form, episodes, steps, temperature, seed: this.evolution.generation };
    const found = await this.workers.evaluate({ ...what, thetas: candidates.map((x) => this.expand(x)) });
    const returns = found.map(({ reward, ended }) => reward - end_cost * ended);
    const weights = candidates.map((x) => x.reduce((sum, value) => sum + value * value, 0) / x.length);
    this.evolution.tell(returns.map((value, k) => value - weight_decay * weights[k]));
    if (this.evolution.generation % compare_every === 0) await this.keepBest();
    return returns;
  }

  /** Compare the mean with the best one before, on dreams of the test's length; noise may have led away from it. */
  async keepBest() {
    const { theta } = this;
    const [result] = await this.test([theta], SEARCHED);
    const value = result.reward - this.settings.end_cost * result.ended;
    if (!(this.best?.value >= value)) this.best = { theta, value, generation: this.evolution.generation };
  }

  /** What controllers get on dreams that the search never met. */
  test(thetas, seed = 2 * SEARCHED) {
    const { form, temperature, test_episodes, test_steps } = this.settings;
    return this.workers.evaluate({ form, thetas, temperature, seed, episodes: test_episodes, steps: test_steps });
  }
}

/** The result as text: of the controller first, then of the two baselines. */
export function outcome(found, other) {
  const names = other ? ["one whose weights are 0"] : ["standing still", "driving straight on"];
  const [what, keeps, more, nothingMore] = other ? ["reward", "lasts", "gets more", "gets no more"]
    : ["progress", "keeps the road", "comes farther", "comes no farther"];
  const amount = (result) => (other ? `return ${result.reward.toFixed(2)}` : `${result.progress.toFixed(1)} m along the lane, less costs`);
  const one = (result, k) => `${["the controller", ...names][k]} ${keeps} in ${Math.round(100 * (1 - result.ended))} %, ${amount(result)}`;
  const [evolved, ...peers] = found;
  const those = (better) => names.filter((_, k) => better(peers[k])).join(" and ");
  const ahead = those((peer) => peer[what] >= evolved[what]);
  const safer = those((peer) => peer.ended < evolved.ended);
  return `${found.map(one).join("; ")}. `
    + (ahead ? `It ${nothingMore} than ${ahead}: search again, with other random numbers.` : `It ${more} than these.`)
    + (safer && ` It ${keeps} less often than ${safer}.`);
}
