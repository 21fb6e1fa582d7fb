// The dream without a server: takes the messages of connection.js, and answers them by dream.js.

import { CategoricalDream } from "./categorical.js";
import { Dream, Random, control } from "./dream.js";

const KINDS = { "mdn-rnn": Dream, categorical: CategoricalDream };

const element = (id) => document.getElementById(id);

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
    Object.assign(this, { on, about, queue: [], open: false, running: false, due: 0, pace: 10, policy: "person", chosen: "person" });
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

  async on_begin({ seed, temperature, policy, run = false }) {
    const { z_size, low, high } = this.about;
    const { mu, logvar } = this.arrays;
    const random = new Random(seed);
    const row = Math.floor(random.uniform() * (mu.length / z_size)) * z_size;
    const drawn = (i) => mu[row + i] + Math.exp(logvar[row + i] / 2) * random.normal();
    const z = Float32Array.from({ length: z_size }, (_, i) => Math.max(low[i], Math.min(high[i], drawn(i))));
    this.moments = [{ ...(await this.dream.begin(z)), action: [0, 0], paid: 0, total: 0, ended: false, changed: [] }];
    Object.assign(this, { at: 0, seed, temperature, action: [0, 0] });
    const policies = this.about.policy ? ["person", "controller"] : ["person"];
    this.policy = this.chosen = policies.includes(policy) ? policy : "person";
    const start = { world: "dream", map_name: "", seed, domain_rand: false, z: [...z], start_angle: null };
    this.on.answer({ type: "world", start, policies, map: null });
    this.on_run({ on: run });
  }

  on_open_link() {
    this.on.answer({ type: "error", message: "This file opens no links; the page of `dreamduck drive` does." });
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
    this.moments.length = this.at + 1;
    const z = Float32Array.from(this.now.z);
    z[latent] = value;
    this.moments[this.at] = await this.dream.observe({ ...this.now, z, changed: [...this.now.changed, latent] });
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
    return this.policy === "controller" ? control(this.about.policy, this.now).map(Math.fround) : this.action;
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
    const moment = await this.dream.step(this.now, action, noise, this.temperature);
    const ended = (this.temperature > 0 ? random.uniform() : 0.5) < moment.end; // at 0 the likelier of the two
    const paid = ended ? moment.end_reward : moment.reward;
    this.moments.length = this.at + 1;
    this.moments.push({ ...moment, action, ended, paid, total: this.now.total + paid, changed: [] });
  }

  async show() {
    const { z, reward, end, entropy, paid, total, ended, action, changed } = this.now;
    const coming = await this.dream.step(this.now, this.next(), {}, 0);
    const images = { dream: await this.dream.image(z), next: await this.dream.image(coming.z) };
    const header = {
      running: this.running, step: this.at, length: this.moments.length - 1, policy: this.policy, action, reward: paid, total,
      end: ended ? "dream-end" : this.at >= this.about.max_steps ? "full" : "",
      temperature: this.temperature, z, changed_latents: changed, changes: [0, []],
    };
    if (this.at > 0) Object.assign(header, { predicted_reward: reward, end_probability: end, entropy });
    this.on.moment(header, images);
  }
}
