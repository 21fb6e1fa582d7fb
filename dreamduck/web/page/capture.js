// What the screen shows as a file: its images as one PNG, or as a video from now on.

import { $, click, notice, state } from "./session.js";

const SIDE = 384; // pixels of an image in the file
const LABEL = 40; // pixels below it, for its name
const TYPES = { "video/webm": "webm", "video/mp4": "mp4" }; // what browsers write, by what they call it

/** Make the buttons of "Save and share" work that need no server. */
export function offerCapture() {
  const type = globalThis.MediaRecorder && Object.keys(TYPES).find((name) => MediaRecorder.isTypeSupported(name));
  $("record_video").hidden = !type;
  click("save_image", saveImage);
  let recorder = null;
  click("record_video", () => {
    if (recorder?.state === "recording") return recorder.stop();
    recorder = record(type, (video) => {
      $("record_video").textContent = "Record a video";
      save(video, TYPES[type]);
    });
    $("record_video").textContent = "Stop and save the video";
  });
}

function saveImage() {
  const canvas = document.createElement("canvas");
  draw(canvas);
  canvas.toBlob((blob) => (blob ? save(blob, "png") : notice("The browser made no image of this size.")));
}

/** Record what is shown until the recorder is stopped. */
function record(type, finished) {
  const canvas = document.createElement("canvas");
  draw(canvas);
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 4e6 });
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  recorder.addEventListener("stop", () => finished(new Blob(parts, { type })));
  recorder.start();
  const next = () => {
    if (recorder.state !== "recording") return;
    draw(canvas);
    requestAnimationFrame(next);
  };
  next();
  return recorder;
}

/** Draw all images of the moment beside each other, with their names below. */
function draw(canvas) {
  const figures = [...document.querySelectorAll("#images figure:not([hidden], .empty)")];
  const width = SIDE * figures.length;
  if (canvas.width !== width) Object.assign(canvas, { width, height: SIDE + LABEL }); // which empties it
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#14161b";
  context.fillRect(0, 0, width, SIDE + LABEL);
  context.fillStyle = "#e9e7e1";
  context.font = `${LABEL / 2}px system-ui, sans-serif`;
  context.textAlign = "center";
  figures.forEach((figure, k) => {
    const image = figure.querySelector("canvas");
    const height = SIDE * image.height / image.width;
    context.drawImage(image, k * SIDE, (SIDE - height) / 2, SIDE, height);
    context.fillText(figure.querySelector("figcaption").innerText, (k + 0.5) * SIDE, SIDE + 0.7 * LABEL);
  });
}

/** Give a file to the person; its name holds world, seed and moment. */
export function save(blob, ending) {
  const { world, seed } = state.start;
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob), download: `dreamduck-${world}-${seed}-${state.moment.step}.${ending}`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  $("saved").textContent = `Saved as ${link.download}.`;
}
