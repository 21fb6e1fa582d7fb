// The page: what is clicked, pressed and moved goes to the server; its moments are shown.

import { Controls, letKeysDrive, typing } from "./input.js";
import { Latents } from "./latents.js";
import { RoadMap } from "./map.js";
import { $, all, begin, click, connected, episode, notice, openLink, resume, run, seek, start, state, tell } from "./session.js";
import { beginAddress, clearAddress, link, recordFrame, records, saved, shared, watchAddress } from "./sharing.js";
import { Chart, ENDS, showFacts, showImages } from "./view.js";

const controls = new Controls($("pad"));
const chart = new Chart($("chart"));
const map = new RoadMap($("map"));
const latents = new Latents($("latents"), (latent, value) => tell("latent", { latent, value }));

let coming = null; // the newest moment, not yet painted
let painting = false; // one is being painted
let fresh = false; // nothing of this world has been shown yet
let sent = ""; // the action that the server knows
let rest = "ready"; // what the status says while nothing runs
let times = []; // of the last moments, for the rate

// ------------------------------------------------------------------ what the server says

function status(name, text) {
  $("status").className = name;
  $("status").lastElementChild.textContent = text;
}

function lost(reason) {
  status("", reason || "no server; trying again");
  state.moment = state.moment && { ...state.moment, running: false };
  Object.assign(state, { changing: true, begun: false, seeking: false });
  coming = null;
  sent = "";
  clearTimeout(state.waiting);
  document.querySelector("main").inert = true; // no message would arrive; `world` enables it again
  $("images").dataset.shown = "";
  showRunning();
}

function answer(message) {
  const handlers = { hello, world, error, saved, link, records, checked };
  handlers[message.type]?.(message);
}

function hello(about) {
  const known = state.about !== null;
  state.about = about;
  $("status").className = "open";
  for (const button of all("#worlds button")) {
    const missing = about.worlds[button.dataset.world];
    button.disabled = Boolean(missing);
    if (missing) button.title = missing;
  }
  if (!known) {
    $("map_name").replaceChildren(...about.maps.map((name) => new Option(name)));
    $("map_name").value = about.map_name;
    $("domain_rand").checked = about.domain_rand;
    $("temperature").max = about.max_temperature;
    $("pace").max = about.max_pace;
    showTemperature(about.temperature);
    latents.begin(about.latents);
  }
  if (episode.start) resume();
  else if (shared()) openLink("address", { link: shared() });
  else begin(state.start?.world ?? about.world);
}

function world({ start: begun, policies, map: outline }) {
  state.changing = false;
  state.begun = fresh = true;
  clearTimeout(state.waiting);
  const other = state.start?.world !== begun.world;
  state.start = begun;
  episode.begin(begun);
  beginAddress();
  state.asked = "";
  $("seed").value = begun.seed;
  $("map_name").value = begun.map_name;
  $("domain_rand").checked = begun.domain_rand;
  $("images").dataset.world = begun.world;
  for (const button of all("#worlds button")) button.ariaPressed = button.dataset.world === begun.world;
  const absent = { expert: "The expert needs the true pose, which a dream does not have.", controller: state.about.controller };
  for (const button of all("#policies button")) {
    button.disabled = !policies.includes(button.dataset.policy);
    button.title = (button.disabled && absent[button.dataset.policy]) || "";
  }
  const dream = begun.world === "dream";
  $("map_row").hidden = $("rand_row").hidden = dream;
  $("from").hidden = !dream;
  $("map_card").hidden = !outline;
  $("latents_card").hidden = $("temperature_row").hidden = $("ending_legend").hidden = begun.world === "road";
  sent = ""; // this world knows no action yet
  $("saved").textContent = "";
  $("link").hidden = true;
  setPace(other ? state.about.pace[begun.world] : Number($("pace").value));
  coming = null; // it was of the world before
  map.begin(outline);
  chart.clear();
  document.querySelector("main").inert = false;
}

function error({ message: text }) {
  clearTimeout(state.waiting);
  state.changing = !state.begun;
  if (state.begun) $("images").dataset.shown = state.start.world; // that one continues
  state.seeking = false;
  $("over").hidden = !state.moment?.end;
  notice(text);
  const { asked } = state;
  state.asked = "";
  if (asked === "address") clearAddress(); // the link cannot be used
  if (!state.begun && asked) begin(state.start?.world ?? state.about.world);
}

/** The numbers of a file without a server were compared with Python's. */
function checked({ wrong }) {
  rest = wrong ? "the numbers are wrong" : "ready";
  status(wrong ? "bad" : "open", rest);
}

function moment(header, images) {
  if ("record" in header) return recordFrame(header, images.record);
  state.seeking = false;
  if (state.wanted !== null) seek(state.wanted);
  chart.add(header);
  map.add(header);
  watchAddress(header);
  coming = [header, images];
  if (!painting) showComing();
}

// ------------------------------------------------------------------ what is shown

/** Paint the newest moment; those that came while another was being painted are passed over. */
async function showComing() {
  painting = true;
  try {
    while (coming) {
      const [header, images] = coming;
      const begun = state.start;
      coming = null;
      await showImages(images);
      // Meanwhile another world may have begun, or the server may have gone.
      if (state.begun && state.start === begun) show(header);
    }
  } finally {
    painting = false;
  }
}

function show(header) {
  state.moment = header;
  showFacts(header);
  chart.draw(header.step);
  map.show(header);
  if (!state.changing) $("images").dataset.shown = state.start.world;
  if (fresh) showTemperature(header.temperature); // a link brings its own
  fresh = false;
  if (header.z && $("latents_card").open) latents.show(header.z, header.changed_latents);
  if (document.activeElement !== $("timeline") || header.running) {
    $("timeline").max = Math.max(header.length, 1);
    $("timeline").value = header.step;
  }
  $("moment").textContent = `${header.step} / ${header.length}`;
  for (const button of all("#policies button")) button.ariaPressed = button.dataset.policy === header.policy;
  $("pad").classList.toggle("off", header.policy !== "person");
  $("over").hidden = !header.end;
  if (header.end) $("over").textContent = `${ENDS[header.end] ?? header.end} Go back, or begin again.`;
  showRunning();
  showRate();
}

function showRunning() {
  const { running = false, step = 0, length = 0, end = "" } = state.moment ?? {};
  $("run").textContent = running ? "Pause" : "Drive";
  $("run").disabled = $("step").disabled = Boolean(end) && step === length && !running;
  $("back").disabled = step === 0;
  $("replay").disabled = step >= length && length === 0;
}

function showRate() {
  const now = performance.now();
  times = [...times.filter((time) => now - time <= 2000), now];
  const rate = (times.length - 1) / (now - times[0]) * 1000;
  $("status").lastElementChild.textContent = state.moment.running && rate > 0 ? `${rate.toFixed(0)} frames/s` : rest;
}

function showTemperature(value) {
  $("temperature").value = value;
  $("temperature_value").textContent = value.toFixed(2);
}

function setPace(rate) {
  $("pace").value = rate;
  $("pace_value").textContent = `${rate} steps/s`;
  $("pace").title = `${(rate * state.about.step_time[state.start.world]).toFixed(1)} times real time`;
  tell("pace", { rate });
}

// ------------------------------------------------------------------ driving

let last = performance.now();
function watchControls(now) {
  const { throttle, steering } = controls.update(Math.min((now - last) / 1000, 0.1));
  last = now;
  const action = { throttle: round(throttle), steering: round(steering) };
  const text = JSON.stringify(action);
  if (!state.changing && connected() && text !== (sent || '{"throttle":0,"steering":0}')) {
    sent = text;
    tell("action", action);
  }
  requestAnimationFrame(watchControls);
}
const round = (value) => Math.round(value * 100) / 100 || 0;

const beginAgain = () => begin(state.start.world, { run: state.moment?.running ?? false });
click("run", () => run(!state.moment?.running));
click("step", () => tell("step"));
click("back", () => seek(Math.max(0, state.moment.step - 1)));
click("replay", () => {
  if (state.moment.step >= state.moment.length) tell("seek", { step: 0 });
  tell("policy", { policy: "replay" });
  tell("run", { on: true });
});
click("begin", beginAgain);
click("other", () => {
  $("seed").value = Math.floor(Math.random() * 1e6);
  beginAgain();
});
for (const button of all("#worlds button")) button.addEventListener("click", () => begin(button.dataset.world));
for (const button of all("#policies button"))
  button.addEventListener("click", () => tell("policy", { policy: (state.policy = button.dataset.policy) }));
for (const id of ["map_name", "domain_rand", "seed"]) $(id).addEventListener("change", () => begin(state.start.world));
$("timeline").addEventListener("input", ({ target }) => seek(Number(target.value)));
$("pace").addEventListener("input", ({ target }) => setPace(Number(target.value)));
$("temperature").addEventListener("input", ({ target }) => {
  showTemperature(Number(target.value));
  tell("temperature", { value: Number(target.value) });
});
$("latents_card").addEventListener("toggle", () => state.moment?.z && latents.show(state.moment.z, []));

const SHORTCUTS = { Space: "run", Period: "step", Comma: "back", KeyR: "begin", Digit1: "person", Digit2: "controller", Digit3: "expert" };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
  if (!state.moment || !SHORTCUTS[event.code] || (event.code === "Space" && event.target.closest?.("button, summary, .button"))) return;
  event.preventDefault();
  $(SHORTCUTS[event.code]).click();
});
letKeysDrive();
start({ lost, answer, moment });
requestAnimationFrame(watchControls);
