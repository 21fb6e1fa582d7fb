// Saving an episode, the link to it, and dreams that begin from an image.

import { $, all, begin, click, episode, notice, openLink, sendImage, state, tell } from "./session.js";
import { setAddress } from "./storage.js";
import { paint } from "./view.js";

let linked = null; // the moment up to which the address holds this episode; null: not known yet

/** The link in the address; null where there is none. */
export const shared = () => new URLSearchParams(location.hash.slice(1)).get("drive");

/** The address holds another episode than the screen shows, or will soon: take it out. */
export function clearAddress() {
  if (location.hash) setAddress(location.href.split("#")[0]);
}

/** Up to which moment the address holds this episode, to be kept with it. */
export const linkedStep = () => linked;
export const restoreLinked = (step) => (linked = step);

/** Another world has begun. */
export function beginAddress() {
  if (!state.asked) clearAddress();
  if (state.asked !== "lost") linked = null;
}

/** Keep the address only while it holds the episode that is shown. */
export function watchAddress({ changes, step, length }) {
  const changed = episode.update(changes);
  if (linked === null) linked = length; // of a link, which was replayed to its end
  else if (changed || (linked !== length && linked !== step)) clearAddress();
}

export function saved({ episode: name, video, steps }) {
  const link = Object.assign(document.createElement("a"), { href: `/videos/${video}`, target: "_blank", textContent: "Watch the video" });
  $("saved").replaceChildren(`${steps} steps saved as ${name}. `, link);
  if ($("from").open) tell("records");
}

/** Offer the images of the world that has begun. */
export function offerImages() {
  const names = all("figure[data-image]:not([hidden])").map(({ dataset, lastElementChild }) =>
    new Option(lastElementChild.firstChild.textContent.trim(), dataset.image));
  $("shown").replaceChildren(...(names.length > 1 ? [new Option("All images", "")] : []), ...names);
}

export function exported({ file }) {
  const link = Object.assign(document.createElement("a"), { href: `/videos/${file}`, target: "_blank", textContent: file });
  $("saved").replaceChildren("Written: ", link);
}

export function link({ link: letters, reason, step }) {
  if (!letters) return notice(reason);
  const address = new URL(location.href);
  address.search = "";
  address.hash = `drive=${letters}`;
  $("link").value = address.href;
  $("link").hidden = false;
  if (state.moment?.step === step) {
    setAddress(address);
    linked = step;
  }
  const show = (text) => () => ($("saved").textContent = text);
  const byHand = show("Copy this link:");
  // Browsers have no clipboard on pages that came over a plain connection from elsewhere.
  if (navigator.clipboard) navigator.clipboard.writeText(address.href).then(show("The link is on the clipboard."), byHand);
  else byHand();
}

export function records({ records: names }) {
  $("recorded").hidden = names.length === 0;
  $("record").replaceChildren(...names.map((name) => new Option(name)));
  if (names.length) askFrame(0);
}

function askFrame(frame) {
  $("frame").value = frame;
  $("frame_value").textContent = frame;
  if ($("record").value) tell("record_frame", { record: $("record").value, frame });
}

export function recordFrame({ length }, image) {
  $("frame").max = length - 1;
  paint($("preview"), image);
}

/** The middle of an image file as 64 x 64 pixels of plain RGB: no more leaves the browser, however large it is. */
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

click("save", () => {
  wait();
  tell("save");
});
/** Say that something is being written. */
function wait() {
  $("saved").replaceChildren("It is being written.", document.createElement("progress"));
}

for (const button of all("#forms button")) {
  button.addEventListener("click", () => {
    wait();
    const every = Math.min(3000, Math.max(1, Math.floor(Number($("every").value)))) || 5;
    tell("export", { form: button.dataset.form, images: $("shown").value ? [$("shown").value] : [], every });
  });
}
click("share", () => tell("link", { tag: "share" }));
click("link", () => $("link").select());
click("dream_on", () => begin("dream", { record: $("record").value, frame: Number($("frame").value) }));
addEventListener("hashchange", () => shared() && openLink("address", { link: shared() }));
$("from").addEventListener("toggle", () => $("from").open && tell("records"));
$("record").addEventListener("change", () => askFrame(0));
$("frame").addEventListener("input", ({ target }) => askFrame(Number(target.value)));
$("file").addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (!file) return;
  try {
    sendImage(await small(file));
    begin("dream", { image: true });
  } catch {
    notice("Expected an image that the browser can read: PNG, JPEG, WebP, GIF, AVIF or BMP.");
  }
});
