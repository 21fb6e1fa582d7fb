// The dream without a server: takes the messages of connection.js, and answers them by dream.js.

import { CategoricalDream } from "./categorical.js";
import { Dream, Random, control } from "./dream.js";
import { fromKeys } from "./keys.js";
import { Episode, GRID, fromLink } from "./episode.js";

const KINDS = { "mdn-rnn": Dream, categorical: CategoricalDream };

const element = (id) => document.getElementById(id);
const VIEWED = { low: -3, middle: 0, high: 3 }; // values of a latent, whose images are shown beside its slider
const PROGRESS_INTERVAL = 500; // milliseconds between two messages of a replay's progress
const onGrid = (value) => Math.round(Math.max(-1, Math.min(1, value)) * GRID);

/** See connection.js; here everything lies in the page itself. */
export function connect(on) {
  const source = new OfflineDream(on);
  source.load();
  return source;
}

/** What lies in the page, packed, under an id. */
async function bytes(id) {
  const packed = Uint8Array.from(atob(element(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function runtime() {
  const ort = await import(URL.createObjectURL(new Blob([await bytes("runtime")], { type: "text/javascript" })));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await bytes("wasm")).buffer;
  return ort;
}

/** The arrays that lie one after the other in the page, by name. */
async function numbers(layout) {
  const { buffer } = await bytes("numbers");
  const kinds = { f4: Float32Array, u1: Uint8Array };
  return Object.fromEntries(Object.entries(layout).map(([name, [kind, at, length]]) => [name, new kinds[kind](buffer, at, length)]));
}

class OfflineDream {
  constructor(on) {
    const about = JSON.parse(element("about").textContent);
    Object.assign(this, { on, about, queue: [], open: false, running: false, due: 0, pace: 10, policy: "person", chosen: "person", unsent: 0 });
    element("check").addEventListener("click", () => this.send("check"));
  }

  async load() {
    this.arrays = await numbers(this.about.numbers);
    const graphs = {};
    for (const name of this.about.graphs) graphs[name] = await bytes(name);
    this.dream = await new KINDS[this.about.kind](await runtime(), this.about, graphs).load();
    this.open = true;
    globalThis.dreamduck = this; // for tests, and for the browser's console
    this.on.answer({ type: "hello", ...this.about });
    this.loop();
  }

  isOpen() {
    return this.open;
  }

  send(type, values = {}) {
    if (this.open) this.queue.push([type, values]);
  }

  /** Messages and steps one after the other: the runtime answers later, and moments must not cross. */
  async loop() {
    for (;;) {
      const now = await new Promise(requestAnimationFrame);
      let changed = this.queue.length > 0;
      while (this.queue.length) {
        const [type, values] = this.queue.shift();
        await this[`on_${type}`]?.(values);
      }
      if (this.running && now >= this.due - 4) {
        this.due = Math.max(this.due + 1000 / this.pace, now);
        await this.step();
        changed = true;
      }
      if (changed && this.moments) await this.show();
    }
  }

  // ---------------------------------------------------------------- messages, as dreamduck.web.protocol has them

  async on_begin({ seed, temperature, policy, run = false, warm = false }) {
    await this.begin({ seed, warm, z: [] }, temperature, policy);
    this.tellWorld();
    this.on_run({ on: run });
  }

  /** Begin a dream; what a link does not tell, the seed decides. */
  async begin({ seed, warm, z: given }, temperature, policy) {
    const { z_size, low, high } = this.about;
    const { mu, logvar, h, c } = this.arrays;
    const random = new Random(seed);
    const number = Math.floor(random.uniform() * (mu.length / z_size));
    const row = (values, size = (values.length / mu.length) * z_size) => values.slice(number * size, (number + 1) * size);
    const [mean, variance] = [row(mu), row(logvar)];
    const drawn = (i) => mean[i] + Math.exp(variance[i] / 2) * random.normal();
    const z = Float32Array.from({ length: z_size }, (_, i) => Math.max(low[i], Math.min(high[i], drawn(i))));
    if (given.length === z_size) z.set(given);
    const begun = await (warm && h ? this.dream.begin(z, row(h), row(c)) : this.dream.begin(z));
    this.moments = [{ ...begun, action: [0, 0], temperature, paid: 0, total: 0, ended: false, changed: [] }];
    Object.assign(this, { at: 0, unsent: 0, seed, temperature, action: [0, 0] });
    this.start = { world: "dream", map_name: "", seed, domain_rand: false, z: [...z], start_angle: null, warm };
    this.policies = this.about.policy ? ["person", "controller"] : ["person"];
    this.policy = this.chosen = this.policies.includes(policy) ? policy : "person";
  }

  tellWorld() {
    this.on.answer({ type: "world", start: this.start, policies: this.policies, map: null });
  }

  async on_open_link({ link, resume = false, step = Infinity, policy }) {
    try {
      const { start, actions, temperatures, changed } = await fromLink(link);
      if (start.world !== "dream") throw new Error("another world");
      await this.replay(start, actions, temperatures, changed);
    } catch {
      return this.on.answer({ type: "error", message: "link: expected one of a dream, and whole; copy it again. Others open on the page of `dreamduck drive`." });
    }
    this.chosen = this.policies.includes(policy) ? policy : "person";
    this.policy = resume ? this.chosen : "replay";
    this.at = resume ? Math.min(step, this.moments.length - 1) : 0;
    this.action = [0, 0];
    this.tellWorld();
    this.on_run({ on: !resume });
  }

  async replay(start, actions, temperatures, changed) {
    await this.begin(start, temperatures[0] ?? this.about.temperature, "person");
    let due = performance.now() + PROGRESS_INTERVAL;
    for (let step = 0; step <= actions.length && !this.over; step++) {
      for (const [at, latent, value] of changed) if (at === step) await this.on_latent({ latent, value });
      if (step === actions.length) return;
      Object.assign(this, { action: actions[step], temperature: temperatures[step] });
      await this.advance();
      this.at += 1;
      if (performance.now() < due) continue;
      this.on.answer({ type: "progress", step, steps: actions.length });
      due = (await new Promise(requestAnimationFrame)) + PROGRESS_INTERVAL;
    }
  }

  async on_link() {
    const episode = new Episode();
    episode.restore({ start: this.start, moments: this.rows(0).slice(0, this.at + 1) });
    this.on.answer({ type: "link", link: await episode.link(), step: this.at });
  }

  /** The moments from one on, as the page keeps them. */
  rows(first) {
    return this.moments.slice(first).map(({ action, temperature, changed }) => [...action.map(onGrid), temperature, changed, false]);
  }

  on_action({ throttle, steering }) {
    this.action = [throttle, steering];
  }

  on_policy({ policy }) {
    if (policy !== "replay") this.chosen = policy;
    this.policy = policy;
  }

  on_run({ on }) {
    this.running = on;
    this.due = performance.now();
  }

  on_pace({ rate }) {
    this.pace = rate;
  }

  on_temperature({ value }) {
    this.temperature = value;
  }

  async on_step() {
    this.running = false;
    await this.step();
  }

  on_seek({ step }) {
    this.running = false;
    this.at = Math.max(0, Math.min(step, this.moments.length - 1));
  }

  async on_latent({ latent, value }) {
    const z = this.now.z.with(latent, value);
    await this.change(z, [...this.now.changed.filter(([other]) => other !== latent), [latent, z[latent]]]);
  }

  async on_latents({ values }) {
    await this.change(Float32Array.from(values), [...Float32Array.from(values).entries()]);
  }

  on_reset_latents() {
    if (this.now.unchanged) this.replace(this.now.unchanged);
  }

  async on_view_latent({ latent }) {
    const images = {};
    for (const [name, value] of Object.entries(VIEWED)) images[name] = await this.dream.image(this.now.z.with(latent, value));
    this.on.moment({ latent }, images);
  }

  async change(z, changed) {
    this.replace(await this.dream.observe({ ...this.now, z, changed, unchanged: this.now.unchanged ?? this.now }));
  }

  /** This moment is another; what came after it no longer follows. */
  replace(moment) {
    this.moments.length = this.at + 1;
    this.moments[this.at] = moment;
    this.unsent = Math.min(this.unsent, this.at);
  }

  async on_check() {
    this.running = false;
    const { steps, ...differences } = await this.check();
    const greatest = Math.max(...Object.values(differences));
    const wrong = !(greatest <= this.about.check.limit); // also where it is not a number
    const told = wrong ? "wrong: they are not Python's, and this dream is not the model's" : "as in Python";
    element("checked").textContent = `The greatest difference in ${steps} steps is ${greatest.toExponential(1)}: the numbers are ${told}.`;
    element("checked").className = wrong ? "bad" : "good";
    this.on.answer({ type: "checked", wrong });
  }

  /** Dream a hundred steps with Python's random numbers: the greatest difference of each number. */
  check() {
    return this.dream.check({ ...this.about.check, ...this.arrays });
  }

  // ---------------------------------------------------------------- the episode

  get now() {
    return this.moments[this.at];
  }

  get over() {
    return this.policy === "replay" ? this.at >= this.moments.length - 1 : this.now.ended || this.at >= this.about.max_steps;
  }

  /** What the policy does at this moment. */
  next() {
    if (this.policy === "replay") return this.moments[Math.min(this.at + 1, this.moments.length - 1)].action;
    const action = this.policy === "controller" ? control(this.about.policy, this.now) : this.action;
    return action.map((value) => Math.fround(onGrid(value) / GRID));
  }

  async step() {
    if (!this.over) {
      if (this.policy !== "replay") await this.advance();
      this.at += 1;
    }
    if (!this.over) return;
    this.running = false;
    this.policy = this.chosen; // after a replay
  }

  async advance() {
    const random = new Random(this.seed, this.at + 1);
    const noise = random.noise(this.about);
    const action = this.next();
    const moment = await this.dream.step(this.now, fromKeys(this.about.actions, action), noise, this.temperature);
    const ended = (this.temperature > 0 ? random.uniform() : 0.5) < moment.end; // at 0 the likelier of the two
    const paid = ended ? moment.end_reward : moment.reward;
    this.moments.length = this.at + 1;
    this.moments.push({ ...moment, action, temperature: this.temperature, ended, paid, total: this.now.total + paid, changed: [] });
    this.unsent = Math.min(this.unsent, this.at + 1);
  }

  async show() {
    const { z, reward, end, entropy, paid, total, ended, action, changed } = this.now;
    const coming = await this.dream.step(this.now, fromKeys(this.about.actions, this.next()), {}, 0);
    const images = { dream: await this.dream.image(z), next: await this.dream.image(coming.z) };
    const header = {
      running: this.running, step: this.at, length: this.moments.length - 1, policy: this.policy, action, reward: paid, total,
      end: ended ? "dream-end" : this.at >= this.about.max_steps ? "full" : "",
      temperature: this.temperature, z, changed_latents: changed.map(([latent]) => latent), changes: [this.unsent, this.rows(this.unsent)],
    };
    this.unsent = this.moments.length;
    if (this.at > 0) Object.assign(header, { predicted_reward: reward, end_probability: end, entropy });
    this.on.moment(header, images);
  }
}
