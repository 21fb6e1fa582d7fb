// The card "Evolve a controller" of the page of one file: a search in workers, watched while it runs.

import { about, modelBlocks, numbers } from "./offline_model.js";
import { Search, Workers, outcome } from "./search.js";
import { $, begin, choose, click, run, state, tell } from "./session.js";

const MOST_WORKERS = 8; // each has the runtime in its memory
const STRAIGHT_ON = Math.atanh(0.5); // the bias of a controller that drives straight on at half throttle

let stopped = true;
let searches = 0; // each with random numbers of its own

/** Make the card work; on a page with a server it is hidden. */
export function offerEvolution() {
  if (!document.body.classList.contains("offline")) return;
  $("evolve_seconds").textContent = about().evolution.seconds;
  click("evolve", async () => {
    if (!stopped) return void (stopped = true);
    stopped = false;
    $("evolve").textContent = "Stop";
    try {
      await evolve(about());
    } catch (error) {
      report(`The search stopped: ${error.message}.`);
    } finally {
      stopped = true;
      $("evolve").textContent = "Evolve";
    }
  });
}

/** Say how the search goes; only starts and ends are spoken. */
function report(text, spoken = true) {
  $("evolve_status").ariaLive = spoken ? "polite" : "off";
  $("evolve_status").textContent = text;
}

async function evolve(settled) {
  const { evolution: settings, graphs } = settled;
  report("The workers are starting.");
  const arrays = await numbers(settled.numbers);
  const workers = new Workers(Math.max(1, Math.min(navigator.hardwareConcurrency ?? 2, MOST_WORKERS)));
  try {
    const starts = Object.fromEntries(["mu", "logvar", "h", "c"].map((name) => [name, arrays[`starts_${name}`]]));
    await workers.load({ blocks: await modelBlocks(graphs.filter((name) => name !== "decoder")), about: settled, starts });
    await search(new Search({ ...settings, seed: settings.seed + searches++ }, arrays, workers), settings);
  } finally {
    workers.close();
  }
}

async function search(searching, settings) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const curve = [];
  watch(searching.theta);
  while (!stopped && seconds() < settings.seconds) {
    const returns = await searching.next();
    curve.push([returns.reduce((a, b) => a + b) / returns.length, Math.max(...returns)]);
    draw($("fitness"), curve);
    drive(searching.best?.theta ?? searching.theta);
    report(`Generation ${curve.length}, ${seconds().toFixed(0)} s: mean return ${curve.at(-1)[0].toFixed(2)}, best ${curve.at(-1)[1].toFixed(2)}.`, false);
  }
  if (!searching.best) await searching.keepBest();
  drive(searching.best.theta);
  const took = seconds().toFixed(0);
  report("The search is over; its controller is being tried on other dreams.");
  const [standing, straight] = [0, STRAIGHT_ON].map((bias) => new Float32Array(searching.theta.length).fill(bias, 0, 1));
  const other = Boolean(about().environment);
  const found = await searching.test([searching.best.theta, standing, ...(other ? [] : [straight])]);
  const dreams = `${settings.test_episodes} other dreams of ${settings.test_steps} steps`;
  report(`${curve.length} generations in ${took} s. Of ${dreams}: ${outcome(found, other)}`);
  const [evolved, ...peers] = found;
  globalThis.searched = { evolved, standing: peers[0], straight: peers[1], generations: curve.length, seconds: Number(took) }; // for tests
}

/** Let the search's controller drive in the image. */
function watch(theta) {
  tell("evolved", { theta });
  state.policy = "evolved";
  if (state.start.world !== "dream") return begin("dream", { run: true });
  $("evolved").disabled = false;
  choose("evolved");
  run(true);
}

/** The search has another controller; where it drives and its dream has ended, the next dream begins. */
function drive(theta) {
  tell("evolved", { theta });
  if (state.changing || state.moment?.policy !== "evolved" || !state.moment.end) return;
  $("seed").value = Number($("seed").value) + 1;
  begin("dream", { run: true });
}

/** The mean and the best return of each generation, as two lines. */
function draw(canvas, curve) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const [least, greatest] = [Math.min(...curve.flat()), Math.max(...curve.flat(), 0)];
  const x = (k) => 2 + (width - 4) * k / Math.max(curve.length - 1, 1);
  const y = (value) => height - 3 - (height - 6) * (value - least) / (greatest - least || 1);
  context.clearRect(0, 0, width, height);
  context.fillStyle = "#30343e";
  context.fillRect(0, y(0), width, 1);
  ["#ffd23f", "#5fbf77"].forEach((color, line) => {
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.beginPath();
    curve.forEach((values, k) => context.lineTo(x(k), y(values[line])));
    context.stroke();
  });
}
