// The page: what is clicked, pressed and pulled goes to the server; its moments are shown.

import { connect } from "./connection.js";
import { Drive } from "./drive.js";
import { Hands, letKeysDrive, typing } from "./input.js";
import { Latents } from "./latents.js";
import { RoadMap } from "./map.js";
import { Chart, ENDS, paint, showFacts, showPictures } from "./view.js";

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];

const state = {
  about: null, // what the server said of itself
  start: null, // of the drive that is on
  moment: null, // the last one shown
  coming: null, // the newest, not yet painted
  painting: false, // one is being painted
  begun: false, // this connection has a world
  fresh: false, // nothing of this world has been shown yet
  driver: "person", // who was chosen; in a world where that one cannot drive, the person does
  hash: null, // the moment up to which the address holds this drive; null: not known yet
  asked: "", // what the world that is being made comes from: "", "address" or "lost" (a lost connection)
  changing: true, // while a world is being made
  waiting: 0, // a timer, while a world is being made
  seeking: false, // a seek is on its way
  wanted: null, // the moment to seek to after that
  held: "", // what the server knows of the hands
  shown: [], // times of the last moments, for the rate
};

const drive = new Drive();
const hands = new Hands($("pad"));
const chart = new Chart($("chart"));
const map = new RoadMap($("map"));
const latents = new Latents($("latents"), (latent, value) => tell("pull", { latent, value }));
const server = connect({ open: () => {}, lost, answer, moment });

// ------------------------------------------------------------------ what the server says

function lost(reason) {
  $("status").className = "";
  $("status").lastElementChild.textContent = reason || "no server; trying again";
  state.moment = state.moment && { ...state.moment, running: false };
  state.changing = true;
  state.begun = false;
  state.coming = null;
  clearTimeout(state.waiting);
  document.querySelector("main").inert = true; // nothing there would be heard; `world` makes it live again
  $("pictures").dataset.shown = "";
  state.seeking = false;
  state.held = "";
  showRunning();
}

function answer(message) {
  const handlers = { hello, world, error, saved, link, records, picture: () => {} };
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
  if (drive.start) goOn();
  else if (shared()) again("address", { link: shared() });
  else begin(state.start?.world ?? about.world);
}

/** Go on where this drive was when the connection was lost. */
async function goOn() {
  startsSoon();
  const link = await drive.link();
  if (server.isOpen()) again("lost", { link, resume: true, step: state.moment?.step ?? 0 });
}

const shared = () => new URLSearchParams(location.hash.slice(1)).get("drive");

/** The address holds another drive than the screen shows, or will soon: take it out. */
function clearAddress() {
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
}

function world({ start, drivers, map: outline }) {
  state.changing = false;
  state.begun = state.fresh = true;
  clearTimeout(state.waiting);
  const other = state.start?.world !== start.world;
  state.start = start;
  drive.begin(start);
  if (!state.asked) clearAddress();
  if (state.asked !== "lost") state.hash = null;
  state.asked = "";
  $("seed").value = start.seed;
  $("map_name").value = start.map_name;
  $("domain_rand").checked = start.domain_rand;
  $("pictures").dataset.world = start.world;
  for (const button of all("#worlds button")) button.ariaPressed = button.dataset.world === start.world;
  const absent = { expert: "In a dream there is no road that the expert could know.", controller: state.about.controller };
  for (const button of all("#drivers button")) {
    button.disabled = !drivers.includes(button.dataset.driver);
    button.title = (button.disabled && absent[button.dataset.driver]) || "";
  }
  const dream = start.world === "dream";
  $("map_row").hidden = $("rand_row").hidden = dream;
  $("from").hidden = !dream;
  $("map_card").hidden = !outline;
  $("latents_card").hidden = $("temperature_row").hidden = $("ending_legend").hidden = start.world === "road";
  state.held = ""; // this world knows nothing of the hands yet
  $("kept").textContent = "";
  $("link").hidden = true;
  if (other) setPace(state.about.pace[start.world]);
  else setPace(Number($("pace").value));
  state.coming = null; // it was of the world before
  map.begin(outline);
  chart.clear();
  document.querySelector("main").inert = false;
}

function moment(header, pictures) {
  if ("peek" in header) return peeked(header, pictures.record);
  state.seeking = false;
  if (state.wanted !== null) seek(state.wanted);
  chart.add(header);
  map.add(header);
  watchAddress(drive.hear(header.news), header);
  state.coming = [header, pictures];
  if (!state.painting) showComing();
}

/** Keep the address only while it holds the drive that is shown. */
function watchAddress(changes, { step, length }) {
  if (state.hash === null) state.hash = length; // of a link, which was driven to its end
  else if (changes || (state.hash !== length && state.hash !== step)) clearAddress();
}

/** Paint the newest moment; those that came while another was being painted are passed over. */
async function showComing() {
  state.painting = true;
  try {
    while (state.coming) {
      const [header, pictures] = state.coming;
      const { start } = state;
      state.coming = null;
      await showPictures(pictures);
      // Meanwhile another world may have begun, or the server may have gone.
      if (state.begun && state.start === start) show(header);
    }
  } finally {
    state.painting = false;
  }
}

function show(header) {
  state.moment = header;
  showFacts(header);
  chart.draw(header.step);
  map.show(header);
  if (!state.changing) $("pictures").dataset.shown = state.start.world;
  if (state.fresh) showTemperature(header.temperature); // a link brings its own
  state.fresh = false;
  if (header.z && $("latents_card").open) latents.show(header.z, header.pulled ?? []);
  if (document.activeElement !== $("timeline") || header.running) {
    $("timeline").max = Math.max(header.length, 1);
    $("timeline").value = header.step;
  }
  $("moment").textContent = `${header.step} / ${header.length}`;
  for (const button of all("#drivers button")) button.ariaPressed = button.dataset.driver === header.driver;
  $("pad").classList.toggle("off", header.driver !== "person");
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
  state.shown.push(now);
  while (now - state.shown[0] > 2000) state.shown.shift();
  const rate = (state.shown.length - 1) / (now - state.shown[0]) * 1000;
  $("status").lastElementChild.textContent = state.moment.running && rate > 0 ? `${rate.toFixed(0)} frames/s` : "ready";
}

// ------------------------------------------------------------------ driving

/** Say something to the server; while a world is being made there is nobody to drive it. */
function tell(type, values) {
  if (!state.changing || ["begin", "again", "pace", "records", "peek"].includes(type)) server.send(type, values);
}

function begin(name, more = {}) {
  state.asked = "";
  startsSoon();
  tell("begin", {
    world: name,
    map_name: $("map_name").value,
    domain_rand: $("domain_rand").checked,
    seed: Math.max(0, Math.floor(Number($("seed").value))) || 0,
    temperature: Number($("temperature").value),
    driver: state.driver,
    ...more,
  });
}

function again(from, values) {
  state.asked = from;
  startsSoon();
  tell("again", { driver: state.driver, ...values });
}

/** Say what one waits for, if one waits. */
function startsSoon() {
  state.changing = true;
  $("pictures").dataset.shown = "";
  clearTimeout(state.waiting);
  state.waiting = setTimeout(() => {
    $("over").textContent = "The world is being made. The first time takes a while: its code is compiled.";
    $("over").hidden = false;
  }, 800);
}

function run(on) {
  if (on && state.moment?.driver === "replay") {
    const able = !$("drivers").querySelector(`[data-driver=${state.driver}]`).disabled;
    tell("driver", { driver: able ? state.driver : "person" });
  }
  tell("run", { on });
}

function seek(step) {
  // One at a time: pulling the slider asks for more moments than a road can be driven again to.
  if (state.seeking || state.changing) return void (state.wanted = state.changing ? null : step);
  state.wanted = null;
  state.seeking = true;
  tell("seek", { step });
}

function showTemperature(value) {
  $("temperature").value = value;
  $("temperature_value").textContent = value.toFixed(2);
}

function setPace(rate) {
  $("pace").value = rate;
  const times = rate * state.about.step_time[state.start.world];
  $("pace_value").textContent = `${rate} steps/s`;
  $("pace").title = `${times.toFixed(1)} times as fast as the car's own clock`;
  tell("pace", { rate });
}

let last = performance.now();
function watchHands(now) {
  const { throttle, steering } = hands.update(Math.min((now - last) / 1000, 0.1));
  last = now;
  const wanted = { throttle: round(throttle), steering: round(steering) };
  const text = JSON.stringify(wanted);
  if (!state.changing && server.isOpen() && text !== (state.held || '{"throttle":0,"steering":0}')) {
    state.held = text;
    tell("hold", wanted);
  }
  requestAnimationFrame(watchHands);
}
const round = (value) => Math.round(value * 100) / 100 || 0;
requestAnimationFrame(watchHands);

const click = (id, act) => $(id).addEventListener("click", act);
click("run", () => run(!state.moment?.running));
click("step", () => tell("step"));
click("back", () => seek(Math.max(0, state.moment.step - 1)));
click("replay", () => {
  if (state.moment.step >= state.moment.length) tell("seek", { step: 0 });
  tell("driver", { driver: "replay" });
  tell("run", { on: true });
});
click("begin", () => begin(state.start.world, { run: state.moment?.running ?? false }));
click("other", () => {
  $("seed").value = Math.floor(Math.random() * 1e6);
  begin(state.start.world, { run: state.moment?.running ?? false });
});
for (const button of all("#worlds button")) button.addEventListener("click", () => begin(button.dataset.world));
for (const button of all("#drivers button"))
  button.addEventListener("click", () => tell("driver", { driver: (state.driver = button.dataset.driver) }));
$("timeline").addEventListener("input", ({ target }) => seek(Number(target.value)));
$("map_name").addEventListener("change", () => begin(state.start.world));
$("domain_rand").addEventListener("change", () => begin(state.start.world));
$("seed").addEventListener("change", () => begin(state.start.world));
$("pace").addEventListener("input", ({ target }) => setPace(Number(target.value)));
$("temperature").addEventListener("input", ({ target }) => {
  showTemperature(Number(target.value));
  tell("temperature", { value: Number(target.value) });
});
$("latents_card").addEventListener("toggle", () => state.moment?.z && latents.show(state.moment.z, []));

const SHORTCUTS = {
  Space: () => $("run").click(), Period: () => $("step").click(), Comma: () => $("back").click(), KeyR: () => $("begin").click(),
  Digit1: () => choose("person"), Digit2: () => choose("controller"), Digit3: () => choose("expert"),
};
const choose = (driver) => $("drivers").querySelector(`[data-driver=${driver}]`).click();
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
  if (!state.moment || !SHORTCUTS[event.code] || (event.code === "Space" && event.target.closest?.("button, summary, .button"))) return;
  event.preventDefault();
  SHORTCUTS[event.code]();
});
letKeysDrive();

// ------------------------------------------------------------------ keeping and sharing

click("save", () => tell("save"));
click("share", () => tell("link", { tag: "share" }));
click("link", () => $("link").select());

function error({ message: text }) {
  clearTimeout(state.waiting);
  state.changing = !state.begun;
  if (state.begun) $("pictures").dataset.shown = state.start.world; // that one goes on
  state.seeking = false;
  $("over").hidden = !state.moment?.end;
  notice(text);
  const { asked } = state;
  state.asked = "";
  if (asked === "address") clearAddress(); // a link that leads nowhere
  if (!state.begun && asked) begin(state.start?.world ?? state.about.world);
}

function saved({ episode, film, steps }) {
  const link = Object.assign(document.createElement("a"), { href: `/films/${film}`, target: "_blank", textContent: "Watch the film" });
  $("kept").replaceChildren(`${steps} steps kept as ${episode}. `, link);
  if ($("from").open) tell("records");
}

function link({ link: letters, reason, step }) {
  if (!letters) return notice(reason);
  const address = new URL(location.href);
  address.search = "";
  address.hash = `drive=${letters}`;
  $("link").value = address.href;
  $("link").hidden = false;
  if (state.moment?.step === step) {
    history.replaceState(null, "", address);
    state.hash = step;
  }
  const told = (text) => () => ($("kept").textContent = text);
  const byHand = told("Copy this link:");
  // Browsers have no clipboard on pages that came over a plain connection from elsewhere.
  if (navigator.clipboard) navigator.clipboard.writeText(address.href).then(told("The link is on the clipboard."), byHand);
  else byHand();
}

addEventListener("hashchange", () => shared() && again("address", { link: shared() }));

// ------------------------------------------------------------------ dreaming from a picture

$("from").addEventListener("toggle", () => $("from").open && tell("records"));
$("record").addEventListener("change", () => peek(0));
$("frame").addEventListener("input", ({ target }) => peek(Number(target.value)));
click("dream_on", () => begin("dream", { record: $("record").value, frame: Number($("frame").value) }));
$("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (!file) return;
  try {
    server.sendPicture(await small(file));
    begin("dream", { picture: true });
  } catch {
    notice("Expected a picture that the browser can read: PNG, JPEG, WebP, GIF, AVIF or BMP.");
  }
});

function records({ records: names }) {
  $("recorded").hidden = names.length === 0;
  $("record").replaceChildren(...names.map((name) => new Option(name)));
  if (names.length) peek(0);
}

function peek(frame) {
  $("frame").value = frame;
  $("frame_value").textContent = frame;
  if ($("record").value) tell("peek", { record: $("record").value, frame });
}

function peeked({ length }, picture) {
  $("frame").max = length - 1;
  paint($("preview"), picture);
}

/** The middle of a picture as 64 x 64 pixels of plain RGB: no more leaves the browser, however large it is. */
async function small(file) {
  const bitmap = await createImageBitmap(file);
  const side = Math.min(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(64, 64);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, 64, 64);
  bitmap.close();
  const { data } = context.getImageData(0, 0, 64, 64);
  return Uint8Array.from({ length: 64 * 64 * 3 }, (_, k) => data[Math.floor(k / 3) * 4 + (k % 3)]);
}

let hiding = 0;
function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => ($("notice").hidden = true), 6000);
}
