// The page: what is clicked, pressed and moved goes to the server; its moments are shown.

import { offerCapture } from "./capture.js";
import { offerEvolution } from "./evolve.js";
import { Controls, letKeysDrive, typing } from "./input.js";
import { Latents } from "./latents.js";
import { RoadMap } from "./map.js";
import {
  $, all, begin, choose, click, connected, episode, notice, openLink, resume, run, seek, showOver, showProgress, start, state, tell,
} from "./session.js";
import {
  beginAddress, clearAddress, exported, link, linkedStep, offerImages, recordFrame, records, restoreLinked, saved, shared, watchAddress,
} from "./sharing.js";
import { enterEntry, keep, keptDrive, keptSettings, nextEntry } from "./storage.js";
import { Chart, ENDS, enlarge, showFacts, showImages, showTrust, showWorld, temperatureWord } from "./view.js";

const DEFAULTED = ["map_name", "domain_rand", "temperature"]; // settings that the server has defaults for
const TAKE_OVER = matchMedia("(pointer: coarse)").matches ? "Touch the pad and take over" : "Press an arrow key and take over";

const controls = new Controls($("pad"));
const chart = new Chart($("chart"));
const map = new RoadMap($("map"));
const latents = new Latents(
  { box: $("latents"), views: $("views") },
  { change: (latent, value) => tell("latent", { latent, value }), view: (latent) => tell("view_latent", { latent }) },
);

let coming = null; // the newest moment, not yet painted
let painting = false; // one is being painted
let fresh = false; // nothing of this world has been shown yet, which has a temperature of its own
let sent = ""; // the action that the server knows
let rest = "ready"; // what the status says while nothing runs
let times = []; // of the last moments, for the rate
let ended = ""; // why the episode has ended, as it was announced

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
  const handlers = { hello, world, error, saved, exported, link, records, checked, progress: showProgress };
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
  $("missing").textContent = about.worlds.dream && `${about.worlds.dream} You can drive on the road.`;
  $("missing").hidden = !about.worlds.dream;
  tell("in_view", { on: !document.hidden });
  if (!known) first(about);
  if (episode.start) resume();
  else if (shared()) openLink("address", { link: shared() });
  else begin(state.start?.world ?? firstWorld(), { run: opensMoving() });
}

/** Whether an episode that nobody asked for runs: not for people who want little motion. */
const opensMoving = () => state.policy !== "person" && !matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Set up what this server has, and what was kept of the last visit. */
function first(about) {
  const kept = { seed: 0, warm: true, ...keptSettings() };
  for (const name of DEFAULTED) if (kept.defaults?.[name] !== about[name]) kept[name] = about[name]; // the server has another default now
  if (kept.calm_temperature !== about.calm_temperature) kept.temperature = about.temperature; // it was another model's
  $("map_name").replaceChildren(...about.maps.map((name) => new Option(name)));
  $("map_name").value = about.maps.includes(kept.map_name) ? kept.map_name : about.map_name;
  $("domain_rand").checked = kept.domain_rand;
  $("seed").value = kept.seed;
  $("warm").checked = kept.warm;
  $("temperature").max = about.max_temperature;
  $("temperature_row").title = `The dream is truest at ${about.calm_temperature.toFixed(2)}`;
  $("pace").max = about.max_pace;
  showTemperature(kept.temperature);
  latents.begin(about.latents);
  if (about.environment) showEnvironment(about);
  if (about.controller) state.policy = about.worlds.dream ? "expert" : "person";
  restore(keptDrive());
}

/** Another environment than Duckietown: no road, and its own words. */
function showEnvironment({ environment, keys }) {
  for (const button of all("#worlds button")) button.hidden = ["road", "split"].includes(button.dataset.world);
  document.querySelector("#worlds [data-world=seen]").textContent = environment;
  document.querySelector("header .offline").textContent = `A dream of ${environment}, in this page alone: no server, no network.`;
  $("expert").hidden = true;
  $("warm").previousElementSibling.textContent = "Anywhere in an episode";
  document.querySelector("#policy .hint").prepend(`${keys}. `);
  for (const [id, label] of [["throttle", "Up, down "], ["steering", "Left, right "]]) $(id).parentElement.firstChild.textContent = label;
}

function firstWorld() {
  const { world } = keptSettings();
  return world && state.about.worlds[world] === "" ? world : state.about.world;
}

/** Take a drive that was kept; null: there is none. */
function restore(drive) {
  if (!drive) return;
  episode.restore(drive.episode);
  state.policy = drive.policy;
  state.moment = { step: drive.step };
  state.pace = drive.pace;
  restoreLinked(drive.linked);
}

function world({ start: begun, policies, map: outline }) {
  const continues = state.asked === "lost"; // with the temperature that was chosen; a link brings its own
  state.changing = false;
  state.begun = true;
  fresh = !continues;
  clearTimeout(state.waiting);
  const other = state.start?.world !== begun.world;
  state.start = begun;
  episode.begin(begun);
  beginAddress();
  state.asked = "";
  $("seed").value = begun.seed;
  $("map_name").value = begun.map_name || $("map_name").value;
  $("domain_rand").checked = begun.domain_rand;
  for (const button of all("#worlds button")) button.ariaPressed = button.dataset.world === begun.world;
  const absent = {
    expert: "The expert needs the true pose, which a dream does not have.", controller: state.about.controller,
    person: "This drive on the road was recorded; here the dream takes its actions.", evolved: "Evolve a controller first.",
  };
  for (const button of all("#policies button")) {
    button.disabled = !policies.includes(button.dataset.policy);
    button.title = (button.disabled && absent[button.dataset.policy]) || "";
  }
  showWorld(begun.world, !state.about.environment);
  offerImages();
  if (continues) tell("temperature", { value: Number($("temperature").value) });
  sent = ""; // this world knows no action yet
  $("saved").textContent = "";
  $("link").hidden = true;
  setPace(state.pace ?? (other ? state.about.pace[begun.world] : Number($("pace").value)));
  state.pace = null;
  coming = null; // it was of the world before
  map.begin(outline);
  chart.clear();
  document.querySelector("main").inert = false;
  announce(`${nameOf(begun.world)}, seed ${begun.seed}: begun`);
}

const nameOf = (name) => document.querySelector(`#worlds [data-world=${name}]`).textContent;

/** Tell people who do not see the page; starts and ends only. */
function announce(text) {
  $("announcement").textContent = text;
  ended = "";
}

function error({ message: text }) {
  clearTimeout(state.waiting);
  state.changing = !state.begun;
  if (state.begun) $("images").dataset.shown = state.start.world; // that one continues
  state.seeking = false;
  $("saved").textContent = "";
  showOver(endOf(state.moment));
  notice(text);
  const { asked } = state;
  state.asked = "";
  if (asked === "address") clearAddress(); // the link cannot be used
  if (!state.begun && asked) begin(state.start?.world ?? firstWorld(), { run: opensMoving() });
}

/** The numbers of a file without a server were compared with Python's. */
function checked({ wrong }) {
  rest = wrong ? "the numbers are wrong" : "ready";
  status(wrong ? "bad" : "open", rest);
}

function moment(header, images) {
  if ("record" in header) return recordFrame(header, images.record);
  if ("latent" in header) return latents.showViews(header, images);
  state.seeking = false;
  if (state.wanted !== null) seek(state.wanted);
  chart.add(header);
  map.add(header);
  watchAddress(header);
  for (const name of header.kept ?? []) if (coming?.[1][name]) images[name] = coming[1][name]; // it was not painted yet
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
      if (Object.keys(images).length) await showImages(images, header.kept); // a tab out of view gets none
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
  showTrust(header, state.start.world, state.about.step_time[state.start.world]);
  chart.draw(header.step);
  map.show(header);
  if (!state.changing) $("images").dataset.shown = state.start.world;
  if (fresh) showTemperature(header.temperature);
  fresh = false;
  if (header.z && $("latents_card").open) latents.show(header.z, header.changed_latents);
  if (document.activeElement !== $("timeline") || header.running) {
    $("timeline").max = Math.max(header.length, 1);
    $("timeline").value = header.step;
  }
  $("moment").textContent = `${header.step} / ${header.length}`;
  for (const button of all("#policies button")) button.ariaPressed = button.dataset.policy === header.policy;
  $("pad").classList.toggle("off", header.policy !== "person");
  $("prompt").hidden = header.policy === "person" || header.policy === "replay" || Boolean(header.end) || $("person").disabled;
  $("prompt").textContent = `The ${header.policy === "evolved" ? "evolved controller" : header.policy} drives. ${TAKE_OVER}.`;
  if (!state.changing) showOver(endOf(header));
  if (header.end && ended !== header.end) announce(ENDS[header.end] ?? header.end);
  ended = header.end;
  showRunning();
  showRate();
}

const endOf = (header) => (header?.end ? `${ENDS[header.end] ?? header.end} Go back, or begin again with R.` : "");

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
  const word = temperatureWord(value, state.about.calm_temperature);
  $("temperature").value = value;
  $("temperature_value").textContent = `${word}, ${value.toFixed(2)}`;
  $("temperature").setAttribute("aria-valuetext", $("temperature_value").textContent);
}

/** Steps a second of a button that names a multiple of real time. */
const paceOf = (button) => Math.round(button.dataset.times / state.about.step_time[state.start.world]);

function setPace(wanted) {
  const rate = Math.min(wanted, state.about.max_pace);
  const times = rate * state.about.step_time[state.start.world];
  $("pace").value = rate;
  $("pace_value").textContent = `x${Number(times.toFixed(1))}, ${rate}/s`;
  $("pace").setAttribute("aria-valuetext", `${times.toFixed(1)} times real time, ${rate} steps a second`);
  for (const button of all("#paces button")) {
    button.ariaPressed = Number(button.dataset.times) === Number(times.toFixed(1));
    button.disabled = paceOf(button) > state.about.max_pace;
  }
  tell("pace", { rate });
}

// ------------------------------------------------------------------ driving

let last = performance.now();
function watchControls(now) {
  const { throttle, steering } = controls.update(Math.min((now - last) / 1000, 0.1));
  last = now;
  if (!state.changing && connected()) {
    if (controls.begun) takeOver();
    controls.begun = false;
    const action = { throttle: round(throttle), steering: round(steering) };
    const text = JSON.stringify(action);
    if (text !== (sent || '{"throttle":0,"steering":0}')) {
      sent = text;
      tell("action", action);
    }
  }
  requestAnimationFrame(watchControls);
}
const round = (value) => Math.round(value * 100) / 100 || 0;

/** Whoever presses a key to drive, or touches the pad, drives from now on. */
function takeOver() {
  if (!state.moment || endOf(state.moment)) return;
  if (state.moment.policy !== "person") choose("person");
  if (!state.moment.running) run(true);
}

const beginAgain = () => begin(state.start.world, { run: Boolean(state.moment?.running || state.moment?.end) });

/** Begin in a world from which the browser's "back" leads to the drive in this one. */
function enter(name) {
  keepAll();
  nextEntry();
  begin(name, { run: state.moment?.running ?? false });
}

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
click("sync", () => state.start.world === "split" && tell("sync"));
click("full", () => (document.fullscreenElement ? document.exitFullscreen() : $("images").requestFullscreen()));
click("reset_latents", () => tell("reset_latents"));
click("random_latents", () => {
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  tell("latents", { values: state.moment.z.map(() => Math.max(-3, Math.min(3, normal()))) });
});
for (const figure of all("figure[data-image]")) figure.firstElementChild.addEventListener("click", () => enlarge(figure.dataset.image));
for (const button of all("#worlds button")) button.addEventListener("click", () => enter(button.dataset.world));
for (const button of all("#policies button")) button.addEventListener("click", () => choose(button.dataset.policy));
for (const id of ["map_name", "domain_rand", "seed", "warm"]) $(id).addEventListener("change", () => begin(state.start.world));
$("timeline").addEventListener("input", ({ target }) => seek(Number(target.value)));
$("pace").addEventListener("input", ({ target }) => setPace(Number(target.value)));
for (const button of all("#paces button")) {
  button.addEventListener("click", () => setPace(paceOf(button)));
}
$("temperature").addEventListener("input", ({ target }) => {
  showTemperature(Number(target.value));
  tell("temperature", { value: Number(target.value) });
});
$("latents_card").addEventListener("toggle", () => state.moment?.z && latents.show(state.moment.z, state.moment.changed_latents));

const SHORTCUTS = {
  Space: "run", Period: "step", Comma: "back", KeyR: "begin", KeyT: "sync", KeyF: "full", Digit1: "person", Digit2: "controller", Digit3: "expert", Digit4: "evolved",
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event) || !state.moment) return;
  if (event.code === "KeyM") return choose(state.moment.policy === "person" ? "controller" : "person");
  const named = SHORTCUTS[event.code];
  if (!named || (event.code === "Space" && event.target.closest?.("button, summary, .button, input[type=checkbox]"))) return;
  event.preventDefault();
  if ($("policies").contains($(named))) choose(named);
  else $(named).click();
});

// ------------------------------------------------------------------ keeping

/** Keep this drive in its history entry, and the settings for the next visit. */
function keepAll() {
  if (!state.about || !episode.start) return;
  const drive = {
    episode: { start: episode.start, moments: episode.moments },
    step: state.moment?.step ?? 0, policy: state.policy, pace: Number($("pace").value), linked: linkedStep(),
  };
  keep(drive, {
    world: episode.start.world, map_name: $("map_name").value, domain_rand: $("domain_rand").checked,
    seed: Number($("seed").value), warm: $("warm").checked, temperature: Number($("temperature").value),
    calm_temperature: state.about.calm_temperature,
    defaults: Object.fromEntries(DEFAULTED.map((name) => [name, state.about[name]])),
  });
}

addEventListener("pagehide", keepAll);
document.addEventListener("visibilitychange", () => {
  tell("in_view", { on: !document.hidden });
  if (document.hidden) keepAll();
});
addEventListener("popstate", () => {
  keepAll(); // of the entry that was left
  enterEntry();
  const drive = keptDrive();
  if (!drive || !state.begun) return;
  restore(drive);
  resume();
});
enterEntry();
letKeysDrive();
offerCapture();
offerEvolution();
showWorld(keptSettings().world ?? "dream");
start({ lost, answer, moment });
requestAnimationFrame(watchControls);
