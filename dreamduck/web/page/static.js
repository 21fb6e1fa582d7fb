// The dream with no server: what main.js leaves to Python is done here, by dream.js.

import { Dream, Random, control } from "./dream.js";
import { Hands, letKeysDrive, typing } from "./input.js";
import { Latents } from "./latents.js";
import { Chart, ENDS, paint, showFacts } from "./view.js";

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

/** Load the model and begin. */
export async function start(ort, about, bytes) {
  const arrays = await numbers(about.numbers, bytes);
  const dream = await Dream.load(ort, about, await bytes("memory"), await bytes("decoder"));
  const page = new Page(dream, about, arrays);
  globalThis.dreamduck = { dream, page, check: () => page.check() }; // for whoever wants to look inside
  await page.begin();
  $("status").className = "open";
  page.ready = true;
  requestAnimationFrame((now) => page.tick(now));
}

/** The arrays that lie one after the other in the file, by name. */
async function numbers(layout, bytes) {
  const { buffer } = await bytes("numbers");
  const kinds = { f4: Float32Array, u1: Uint8Array };
  return Object.fromEntries(Object.entries(layout).map(([name, [kind, at, length]]) => [name, new kinds[kind](buffer, at, length)]));
}

class Page {
  constructor(dream, about, arrays) {
    Object.assign(this, { dream, about, arrays, running: false, ready: false, wrong: false, driver: "person", busy: false, due: 0, last: 0, shown: [] });
    this.hands = new Hands($("pad"));
    this.chart = new Chart($("chart"));
    this.latents = new Latents($("latents"), (latent, value) => this.pull(latent, value));
    this.latents.begin(about.latents);
    this.controls();
  }

  get now() {
    return this.moments[this.at];
  }

  /** A new dream, from the seed in the field. */
  async begin() {
    const { z_size, low, high } = this.about;
    const { mu, logvar } = this.arrays;
    this.seed = Math.max(0, Math.floor(Number($("seed").value))) || 0;
    const random = new Random(this.seed);
    const row = Math.floor(random.uniform() * (mu.length / z_size)) * z_size;
    const drawn = (i) => mu[row + i] + Math.exp(logvar[row + i] / 2) * random.normal();
    const z = Float32Array.from({ length: z_size }, (_, i) => Math.max(low[i], Math.min(high[i], drawn(i))));
    this.moments = [{ ...this.dream.begin(z), action: [0, 0], total: 0, ended: false }];
    this.at = 0;
    this.chart.clear();
    await this.show();
  }

  async step() {
    if (this.now.ended || this.at >= this.about.max_steps) return void (this.running = false);
    this.moments.length = this.at + 1;
    const random = new Random(this.seed, this.at + 1);
    const action = this.action();
    const temperature = Number($("temperature").value);
    const noise = random.noise(this.about.z_size);
    const moment = await this.dream.step(this.now, action, noise, temperature);
    const ended = (temperature > 0 ? random.uniform() : 0.5) < moment.end; // at 0 the likelier of the two
    const reward = ended ? moment.end_reward : moment.reward;
    this.moments.push({ ...moment, action, ended, paid: reward, total: this.now.total + reward });
    this.at += 1;
    if (ended) this.running = false;
  }

  action() {
    if (this.driver === "controller") return control(this.about.controller, this.now).map(Math.fround);
    return [this.hands.value.throttle, this.hands.value.steering];
  }

  async seek(step) {
    this.running = false;
    await this.alone(async () => {
      this.at = Math.max(0, Math.min(step, this.moments.length - 1));
      await this.show();
    });
  }

  async pull(latent, value) {
    await this.alone(async () => {
      this.moments.length = this.at + 1;
      const z = Float32Array.from(this.now.z);
      z[latent] = value;
      this.moments[this.at] = { ...this.now, z, pulled: [...(this.now.pulled ?? []), latent] };
      await this.show();
    });
  }

  /** One thing at a time: the runtime answers later, and moments must not cross. */
  async alone(work) {
    while (this.busy) await this.busy;
    this.busy = work().finally(() => (this.busy = false));
    await this.busy;
  }

  async show() {
    const { z, reward, end, entropy, paid = 0, total, ended, action, pulled = [] } = this.now;
    const step = this.at;
    const length = this.moments.length - 1;
    await paint($("dream"), await this.dream.picture(z));
    const coming = await this.dream.step(this.now, this.action(), {}, 0);
    await paint($("next"), await this.dream.picture(coming.z));
    const told = { step, length, reward: paid, total, action };
    if (step > 0) Object.assign(told, { predicted_reward: reward, end_probability: end, entropy });
    showFacts(told);
    this.chart.add(told);
    this.chart.draw(step);
    if ($("latents_card").open) this.latents.show(z, pulled);
    $("timeline").max = Math.max(1, length);
    $("timeline").value = step;
    $("moment").textContent = `${step} / ${length}`;
    $("over").hidden = !ended;
    if (ended) $("over").textContent = `${ENDS["dream-end"]} Go back, or begin again.`;
    for (const button of all("#drivers button")) button.ariaPressed = button.dataset.driver === this.driver;
    $("pad").classList.toggle("off", this.driver !== "person");
    this.showRunning();
  }

  showRunning() {
    $("run").textContent = this.running ? "Pause" : "Drive";
    $("run").disabled = $("step").disabled = this.now.ended;
    $("back").disabled = this.at === 0;
    $("check").disabled = false;
    if (!this.running) $("status").lastElementChild.textContent = this.rest();
  }

  /** Once a picture: look at the hands, and drive if it is time. */
  async tick(now) {
    const before = JSON.stringify(this.hands.value);
    this.hands.update(Math.min((now - this.last) / 1000, 0.1));
    this.last = now;
    const changed = before !== JSON.stringify(this.hands.value);
    if (!this.busy && this.running && now >= this.due - 4) {
      this.due = Math.max(this.due + 1000 / Number($("pace").value), now);
      await this.alone(async () => {
        await this.step();
        await this.show();
      });
      this.rate();
    } else if (!this.busy && !this.running && changed) await this.alone(() => this.show());
    requestAnimationFrame((next) => this.tick(next));
  }

  rate() {
    const now = performance.now();
    this.shown.push(now);
    while (now - this.shown[0] > 2000) this.shown.shift();
    const rate = (this.shown.length - 1) / (now - this.shown[0]) * 1000;
    $("status").lastElementChild.textContent = this.running && rate > 0 ? `${rate.toFixed(0)} frames/s` : this.rest();
  }

  /** What the status says while nothing runs. */
  rest() {
    return this.wrong ? "the numbers are wrong" : "ready";
  }

  /** Dream a hundred steps with Python's random numbers, and tell how far they came apart. */
  async check() {
    let worst;
    this.running = false;
    await this.alone(async () => (worst = await this.dream.check({ ...this.about.check, ...this.arrays })));
    const { steps, ...differences } = worst;
    const greatest = Math.max(...Object.values(differences));
    const good = greatest <= this.about.check.limit; // not so where it is not a number
    const told = good ? "as in Python" : "wrong: they are not Python's, and this dream is not the model's";
    $("checked").textContent = `The greatest difference in ${steps} steps is ${greatest.toExponential(1)}: the numbers are ${told}.`;
    $("checked").className = good ? "good" : "bad";
    $("status").className = good ? "open" : "bad";
    this.wrong = !good;
    this.showRunning();
    return worst;
  }

  controls() {
    const click = (id, act) => $(id).addEventListener("click", act);
    const again = () => this.alone(() => this.begin());
    click("run", () => {
      this.running = !this.running;
      this.due = performance.now();
      this.showRunning();
    });
    click("step", () => this.alone(async () => {
      this.running = false;
      await this.step();
      await this.show();
    }));
    click("back", () => this.seek(this.at - 1));
    click("begin", again);
    click("other", () => {
      $("seed").value = Math.floor(Math.random() * 1e6);
      again();
    });
    click("check", () => this.check());
    $("seed").addEventListener("change", again);
    $("timeline").addEventListener("input", ({ target }) => this.seek(Number(target.value)));
    const tell = (id, words) => $(id).addEventListener("input", ({ target }) => ($(`${id}_value`).textContent = words(Number(target.value))));
    tell("temperature", (value) => value.toFixed(2));
    tell("pace", (value) => `${value} steps/s`);
    const set = (id, value, most) => {
      Object.assign($(id), { max: most });
      $(id).value = value;
      $(id).dispatchEvent(new Event("input"));
    };
    set("temperature", this.about.temperature, this.about.max_temperature);
    set("pace", this.about.pace, this.about.max_pace);
    $("latents_card").addEventListener("toggle", () => this.latents.show(this.now.z, []));
    for (const button of all("#drivers button")) {
      button.disabled = button.dataset.driver === "controller" && !this.about.controller;
      button.addEventListener("click", () => {
        this.driver = button.dataset.driver;
        if (!this.running) this.alone(() => this.show());
      });
    }
    this.keys();
  }

  keys() {
    const shortcuts = { Space: "run", Period: "step", Comma: "back", KeyR: "begin" };
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
      if (!shortcuts[event.code] || (event.code === "Space" && event.target.closest?.("button, summary"))) return;
      event.preventDefault();
      $(shortcuts[event.code]).click();
    });
    letKeysDrive();
  }
}
