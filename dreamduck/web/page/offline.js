// The dream without a server: takes the messages of connection.js, and answers them by dream.js.

import { Random, control } from "./dream.js";
import { fromKeys, pack, shown } from "./keys.js";
import { Episode, GRID, fromLink } from "./episode.js";
import { about, load, modelBlocks, numbers } from "./offline_model.js";
import { DreamWorld, RecordedRoad } from "./offline_worlds.js";

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

class OfflineDream {
  constructor(on) {
    Object.assign(this, { on, about: about(), queue: [], open: false, running: false, due: 0, pace: 10, policy: "person", chosen: "person", unsent: 0 });
    element("check").addEventListener("click", () => this.send("check"));
  }

  async load() {
    this.arrays = await numbers(this.about.numbers);
    this.dream = await load(await modelBlocks(this.about.graphs), this.about);
    this.worlds = { dream: new DreamWorld(this), split: new RecordedRoad(this) };
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
      if (!changed || !this.moments) continue;
      await this.show();
      if (!this.checked) await this.on_check(); // by itself, after the first image
    }
  }

  // ---------------------------------------------------------------- messages, as dreamduck.web.protocol has them

  async on_begin({ world, map_name, seed, temperature, policy, run = false, warm = false }) {
    await this.begin({ world, map_name, seed, warm, z: [] }, temperature, policy);
    this.tellWorld();
    this.on_run({ on: run });
  }

  /** Begin in a world; what a link does not set, the seed decides. */
  async begin(start, temperature, policy) {
    this.world = this.worlds[start.world];
    const { begun, map_name = "", z = [] } = await this.world.begin(start);
    this.moments = [{ ...begun, action: pack(this.about.actions, fromKeys(this.about.actions, [0, 0])), temperature, paid: 0, total: 0, end: "", changed: [] }];
    Object.assign(this, { at: 0, unsent: 0, seed: start.seed, temperature, action: [0, 0], replayed: null });
    this.start = { world: start.world, map_name, seed: start.seed, domain_rand: false, z: [...z], start_angle: null, warm: start.warm };
    this.policies = this.world.policies();
    this.policy = this.chosen = this.able(policy);
  }

  able(policy) {
    return this.policies.includes(policy) ? policy : this.policies[0];
  }

  tellWorld() {
    this.on.answer({ type: "world", start: this.start, policies: this.policies, map: this.world.outline ?? null });
  }

  async on_open_link({ link, resume = false, step = Infinity, policy }) {
    try {
      const { start, ...script } = await fromLink(link);
      if (!(start.world in this.about.worlds)) throw new Error("another world");
      await this.replay(start, script);
    } catch {
      return this.on.answer({ type: "error", message: "link: expected one of this file's drives, and whole; copy it again. Others open on the page of `dreamduck drive`." });
    }
    this.chosen = this.able(policy);
    this.policy = resume ? this.chosen : "replay";
    this.at = resume ? Math.min(step, this.moments.length - 1) : 0;
    Object.assign(this, { action: [0, 0], replayed: null });
    this.tellWorld();
    this.on_run({ on: !resume });
  }

  async replay(start, { actions, temperatures, changed, synced }) {
    await this.begin(start, temperatures[0] ?? this.about.temperature, "person");
    let due = performance.now() + PROGRESS_INTERVAL;
    for (let step = 0; step <= actions.length && !this.over; step++) {
      for (const [at, latent, value] of changed) if (at === step) await this.on_latent({ latent, value });
      if (synced.includes(step)) this.on_sync();
      if (step === actions.length) return;
      Object.assign(this, { replayed: actions[step], temperature: temperatures[step] });
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
    return this.moments.slice(first).map(({ action, temperature, changed, synced = false }) => [...action.map(onGrid), temperature, changed, synced]);
  }

  on_action({ throttle, steering }) {
    this.action = [throttle, steering];
  }

  /** The controller that is being evolved, as far as it is. */
  on_evolved({ theta }) {
    this.evolved = { form: this.about.evolution.form, theta };
    if (this.start) this.policies = this.world.policies();
  }

  on_sync() {
    this.replace({ ...this.world.sync(this.now), synced: true });
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

  /** Drop the moments after this one, which has changed. */
  replace(moment) {
    this.moments.length = this.at + 1;
    this.moments[this.at] = moment;
    this.unsent = Math.min(this.unsent, this.at);
  }

  async on_check() {
    const { steps, ...differences } = await this.check();
    const greatest = Math.max(...Object.values(differences));
    const wrong = !(greatest <= this.about.check.limit); // also where it is not a number
    const verdict = wrong ? "wrong: they are not Python's, and this dream is not the model's" : "as in Python";
    element("checked").textContent = `The greatest difference in ${steps} steps is ${greatest.toExponential(1)}: the numbers are ${verdict}.`;
    element("checked").className = wrong ? "bad" : "good";
    this.on.answer({ type: "checked", wrong });
    this.checked = true;
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
    return this.policy === "replay" ? this.at >= this.moments.length - 1 : Boolean(this.now.end) || this.at >= this.about.max_steps;
  }

  /** What the policy does at this moment. */
  next() {
    if (this.policy === "replay") return this.moments[Math.min(this.at + 1, this.moments.length - 1)].action;
    const action = this.world.action?.(this.at) ?? this.replayed ?? this.decide();
    return action.map((value) => Math.fround(onGrid(value) / GRID));
  }

  decide() {
    const { actions, policy } = this.about;
    if (this.policy === "person") return pack(actions, fromKeys(actions, this.action));
    return pack(actions, control(this.policy === "controller" ? policy : this.evolved, this.now));
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
    const action = this.next();
    const moment = await this.world.step(this.now, action, new Random(this.seed, this.at + 1), this.at + 1);
    this.moments.length = this.at + 1;
    this.moments.push({ ...moment, action, temperature: this.temperature, total: this.now.total + moment.paid, changed: [] });
    this.unsent = Math.min(this.unsent, this.at + 1);
  }

  async show() {
    const { paid, total, end, action } = this.now;
    const { images, facts } = await this.world.show(this.now, this.at);
    const header = {
      running: this.running, step: this.at, length: this.moments.length - 1, policy: this.policy, reward: paid, total, action: shown(this.about.actions, action),
      end: end || (this.at >= this.about.max_steps ? "full" : ""), temperature: this.temperature, changes: [this.unsent, this.rows(this.unsent)], ...facts,
    };
    this.unsent = this.moments.length;
    this.on.moment(header, images);
  }
}
