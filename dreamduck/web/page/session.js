// What this tab knows of its episode, and what it asks of the server.

import { connect } from "./connection.js";
import { Episode } from "./episode.js";

export const $ = (id) => document.getElementById(id);
export const all = (selector) => [...document.querySelectorAll(selector)];
export const click = (id, act) => $(id).addEventListener("click", act);

export const state = {
  about: null, // what the server said of itself
  start: null, // of the current episode
  moment: null, // the last one shown
  begun: false, // this connection has a world
  policy: "controller", // what was chosen; in a world that does not have it, the person drives
  asked: "", // what the world that is being made comes from: "", "address" or "lost" (a lost connection, or a reload)
  changing: true, // while a world is being made
  waiting: 0, // a timer, while a world is being made
  seeking: false, // a seek is on its way
  wanted: null, // the moment to seek to after that
};
export const episode = new Episode();
let server = null;

/** Connect; `handlers` as `connect` takes them. */
export function start(handlers) {
  server = connect(handlers);
}

export const connected = () => server.isOpen();
export const sendImage = (bytes) => server.sendImage(bytes);

/** Send a message; while a world is being made, only what does not concern it. */
export function tell(type, values) {
  if (!state.changing || ["begin", "open_link", "pace", "in_view", "records", "record_frame"].includes(type)) server.send(type, values);
}

export function begin(world, more = {}) {
  state.asked = "";
  startsSoon();
  tell("begin", {
    world,
    map_name: $("map_name").value,
    domain_rand: $("domain_rand").checked,
    seed: Math.max(0, Math.floor(Number($("seed").value))) || 0,
    temperature: Number($("temperature").value),
    policy: state.policy,
    warm: $("warm").checked,
    ...more,
  });
}

export function openLink(from, values) {
  state.asked = from;
  startsSoon();
  tell("open_link", { policy: state.policy, ...values });
}

/** Continue from where this episode was when the connection was lost, or the page was left. */
export async function resume() {
  startsSoon();
  const link = await episode.link();
  if (link.length > state.about.max_link) {
    notice("Too many latents were changed in this episode for it to be driven again; another one begins.");
    return begin(episode.start.world);
  }
  if (connected()) openLink("lost", { link, resume: true, step: state.moment?.step ?? 0 });
}

/** After a while, say what is being waited for. */
function startsSoon() {
  state.changing = true;
  $("images").dataset.shown = "";
  clearTimeout(state.waiting);
  state.waiting = setTimeout(() => {
    showOver("The world is being made. The first time takes a while: its code is compiled.");
    showProgress({});
  }, 800);
}

/** Say something over the images; "": nothing. */
export function showOver(text) {
  $("over").firstElementChild.textContent = text;
  $("over").lastElementChild.hidden = true;
  $("over").hidden = !text;
}

/** How far a replay is; without numbers, that something is being done. */
export function showProgress({ step, steps }) {
  if (!state.changing) return;
  const bar = $("over").lastElementChild;
  if (steps) {
    showOver(`The episode is being driven again: step ${step} of ${steps}.`);
    Object.assign(bar, { max: steps, value: step });
  } else bar.removeAttribute("value");
  bar.hidden = false;
}

export function run(on) {
  if (on && state.moment?.policy === "replay") tell("policy", { policy: able(state.policy) ? state.policy : "person" });
  tell("run", { on });
}

/** Let a policy drive, where this world has it. */
export function choose(policy) {
  if (!able(policy)) return notice($("policies").querySelector(`[data-policy=${policy}]`).title);
  tell("policy", { policy: (state.policy = policy) });
}

const able = (policy) => !$("policies").querySelector(`[data-policy=${policy}]`).disabled;

export function seek(step) {
  // One at a time: moving the slider asks for more moments than a simulator can go back to.
  if (state.seeking || state.changing) return void (state.wanted = state.changing ? null : step);
  state.wanted = null;
  state.seeking = true;
  tell("seek", { step });
}

let hiding = 0;
export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => ($("notice").hidden = true), 6000);
}
