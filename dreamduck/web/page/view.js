// What is seen of a moment: images, numbers, the lane, the curves of reward and probability of termination.

const $ = (id) => document.getElementById(id);
const figures = () => [...document.querySelectorAll("figure[data-image]")];

// The images of each world, the large one first; "split" shows its first two at one size.
const IMAGES = {
  dream: ["dream", "next"],
  split: ["camera", "dream", "reconstruction"],
  seen: ["camera", "reconstruction", "predicted"],
  road: ["camera"],
};
const MODEL_FACTS = ["predicted_reward", "end_probability", "entropy"];
const ROAD_FACTS = ["lane_dist", "lane_angle", "in_lane", "speed", "distance"];
const FACTS_OF = {
  dream: ["total", "reward", ...MODEL_FACTS],
  split: ["total", "reward", ...ROAD_FACTS, "dream_lane_dist"],
  seen: ["total", "reward", ...MODEL_FACTS, ...ROAD_FACTS],
  environment: ["total", "reward"], // another one than Duckietown, seen through its model
  road: ["total", "reward", ...ROAD_FACTS],
};
const enlarged = {}; // the large image of each world, where one was chosen
const number = (digits, unit = "") => (v) => (v === null || v === undefined ? "none" : v.toFixed(digits) + unit);

// name in the moment: label, text, whether it is bad
const FACTS = {
  total: ["Reward so far", number(2)],
  reward: ["Reward of the step", number(3)],
  predicted_reward: ["Predicted reward", number(3)],
  end_probability: ["Probability of termination", (v) => number(1, " %")(v && v * 100), (v) => v > 0.5],
  entropy: ["Entropy of the prediction", number(2, " nats")],
  lane_dist: ["From the lane's centre", (v) => number(1, " cm")(v && v * 100)],
  dream_lane_dist: ["Dream, by the probe", (v) => number(1, " cm")(v && v * 100)],
  lane_angle: ["Angle to the lane", (v) => number(0, "°")(v && v * 180 / Math.PI)],
  in_lane: ["In its lane", (v) => (v ? "yes" : "no"), (v) => !v],
  speed: ["Speed", number(2, " m/s")],
  distance: ["Along the lane", number(2, " m")],
};
export const ENDS = {
  "off-road": "Off the road.",
  collision: "A collision.",
  terminated: "The episode ends here.",
  truncated: "The episode is cut here, at its greatest length.",
  "dream-end": "The dream ends here: the model predicts an end.",
  "recorded-end": "The recorded drive ends here.",
  full: "The episode has its greatest length.",
};
const HALF_VIEW = 0.21; // metres either side that the lane bar shows; its green half is the lane
const FAR = { apart: 0.2, apart_image: 30 }; // metres, grey levels: the meter is full

/** Paint an image on its canvas. */
export async function paint(canvas, { width, height, coding, bytes }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (coding !== "rgb") {
    const bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${coding}` }));
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return;
  }
  const image = context.createImageData(width, height);
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    image.data[to] = bytes[from];
    image.data[to + 1] = bytes[from + 1];
    image.data[to + 2] = bytes[from + 2];
    image.data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/**
 * Make room for what a world shows, before any of it is there, so that nothing moves when it comes.
 * @param {string} world
 * @param {boolean} road - whether it is Duckietown's; of another environment's world nothing can be set
 */
export function showWorld(world, road = true) {
  if (!IMAGES[world]) world = "dream";
  $("images").dataset.world = world;
  for (const figure of figures()) figure.hidden = !IMAGES[world].includes(figure.dataset.image);
  layOut(world);
  $("apart").hidden = world !== "split";
  const other = !road && world === "seen";
  for (const id of ["map_card", "map_row", "rand_row", "lane"]) $(id).hidden = world === "dream" || !road;
  $("from").hidden = world !== "dream";
  $("latents_card").hidden = world === "road" || world === "split" || other;
  $("temperature_row").hidden = world === "road" || other;
  $("ending_legend").hidden = world === "road" || world === "split" || other;
  $("warm_row").hidden = other;
  $("facts").replaceChildren(...FACTS_OF[other ? "environment" : world].filter((name) => road || !ROAD_FACTS.includes(name)).flatMap((name) => {
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = FACTS[name][0];
    value.dataset.fact = name;
    value.textContent = "none";
    return [term, value];
  }));
}

function layOut(world) {
  const large = enlarged[world] ?? (world === "split" ? "" : IMAGES[world][0]);
  $("images").dataset.large = large;
  const insets = IMAGES[world].filter((image) => image !== large);
  for (const figure of figures()) {
    const [button, caption] = figure.children;
    figure.dataset.place = figure.dataset.image === large ? "large" : insets.indexOf(figure.dataset.image) + 1;
    button.disabled = IMAGES[world].length === 1;
    button.ariaPressed = figure.dataset.image === large;
    button.setAttribute("aria-label", `Enlarge: ${caption.firstChild.textContent.trim()}`);
  }
}

/** Show an image large; the large one again: all as at first. */
export function enlarge(image) {
  const { world, large } = $("images").dataset;
  if (image === large) delete enlarged[world];
  else enlarged[world] = image;
  layOut(world);
}

/** Show all images of a moment, and no others but those that are kept as they were. */
export async function showImages(images, kept = []) {
  await Promise.all(figures().filter((figure) => !figure.hidden).map((figure) => {
    const image = images[figure.dataset.image];
    if (!image && kept.includes(figure.dataset.image)) return null;
    figure.classList.toggle("empty", !image);
    return image && paint(figure.querySelector("canvas"), image);
  }));
}

/** A temperature in a word: calm where the dream is truest, feverish where chance decides the image, rigid far below. */
export function temperatureWord(value, calm) {
  if (calm - value > 0.3) return "rigid"; // what is likeliest at every step is no likely course of many
  const heat = (value - calm) / (Math.max(1, 2 * calm) - calm); // 1: feverish
  return heat <= 0.1 ? "calm" : heat <= 0.4 ? "lively" : heat < 1 ? "restless" : "feverish";
}

/** How far the dream is from the road. */
function showApart(moment) {
  const name = "apart" in moment ? "apart" : "apart_image";
  const distance = Math.abs(moment[name]);
  $("apart_value").textContent = name === "apart" ? `${(100 * distance).toFixed(1)} cm` : distance.toFixed(1);
  $("apart_label").textContent = moment.dream_ended ? "apart; the dream has ended"
    : name === "apart" ? "apart across the lane" : "grey levels apart";
  const share = Math.min(1, distance / FAR[name]);
  const bar = document.querySelector("#apart .meter i");
  bar.style.width = `${100 * share}%`;
  bar.className = share > 0.5 ? "far" : "";
}

/** Say until when the dream was true, where the road beside it tells that; alone, since when the model is uncertain. */
export function showTrust({ true_until: steps }, world, stepTime) {
  const measured = world === "split";
  $("trust").hidden = steps === undefined || (steps === null && !measured); // a model that is certain may be wrong
  if ($("trust").hidden) return;
  $("trust").textContent = steps === null ? "true so far" : `${measured ? "true until" : "uncertain since"} ${(steps * stepTime).toFixed(1)} s`;
  $("trust").className = steps === null ? "" : "bad";
}

/** Show the numbers of a moment. */
export function showFacts(moment) {
  for (const value of $("facts").querySelectorAll("dd")) {
    const [, tell, bad] = FACTS[value.dataset.fact];
    value.textContent = tell(moment[value.dataset.fact]);
    value.classList.toggle("bad", Boolean(bad?.(moment[value.dataset.fact])));
  }
  if ("dream_ended" in moment) showApart(moment);
  if (typeof moment.lane_dist === "number") {
    const share = Math.max(-1, Math.min(1, moment.lane_dist / HALF_VIEW));
    $("lane").firstElementChild.style.left = `${50 + 50 * share}%`;
  }
  for (const [name, value] of [["throttle", moment.action[0]], ["steering", -moment.action[1]]]) {
    const bar = $(name).firstElementChild.style;
    bar.left = `${50 + 50 * Math.min(0, value)}%`;
    bar.width = `${50 * Math.abs(value)}%`;
    $(`${name}_value`).textContent = Math.abs(value).toFixed(2) + (name === "steering" && value ? (value < 0 ? " L" : " R") : "");
  }
}

/** The last hundred steps: reward as a yellow line about the middle, probability of termination in red. */
export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.rows = [];
    this.draw(0);
  }

  add({ step, length, reward, end_probability = null }) {
    this.rows.length = Math.min(this.rows.length, length + 1); // what lay ahead is gone once one drives on
    this.rows[step] = [reward, end_probability];
  }

  draw(now) {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    context.clearRect(0, 0, width, height);
    context.fillStyle = "#30343e";
    context.fillRect(0, height / 2, width, 1);
    const first = Math.max(1, now - 99);
    const shown = this.rows.slice(first, now + 1);
    const scale = Math.max(0.02, ...shown.map((row) => (row ? Math.abs(row[0]) : 0)));
    const line = (color, height_of) => {
      context.strokeStyle = color;
      context.lineWidth = 2;
      context.beginPath();
      shown.forEach((row, k) => row && height_of(row) !== null && context.lineTo(k / 99 * width, height_of(row)));
      context.stroke();
    };
    line("#ef5a5a", ([, ending]) => (ending === null ? null : height - 2 - ending * (height - 4)));
    line("#ffd23f", ([reward]) => height / 2 - reward / scale * (height / 2 - 3));
  }
}
