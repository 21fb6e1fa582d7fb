// What is seen of a moment: images, numbers, the lane, the curves of reward and probability of termination.

const $ = (id) => document.getElementById(id);
const number = (digits, unit = "") => (v) => (v === null || v === undefined ? "none" : v.toFixed(digits) + unit);

// name in the moment: label, how it is told, whether it is bad
const FACTS = {
  total: ["Reward so far", number(2)],
  reward: ["Reward of the step", number(3)],
  predicted_reward: ["Predicted reward", number(3)],
  end_probability: ["Probability of termination", (v) => number(1, " %")(v === null ? v : v * 100), (v) => v > 0.5],
  entropy: ["Entropy of the mixture", number(2, " nats")],
  lane_dist: ["From the lane's centre", (v) => number(1, " cm")(v === null ? v : v * 100)],
  lane_angle: ["Angle to the lane", (v) => number(0, "°")(v === null ? v : v * 180 / Math.PI)],
  in_lane: ["In its lane", (v) => (v ? "yes" : "no"), (v) => !v],
  speed: ["Speed", number(2, " m/s")],
  distance: ["Along the lane", number(2, " m")],
};
export const ENDS = {
  "off-road": "Off the road.",
  collision: "A collision.",
  "dream-end": "The dream ends here: the MDN-RNN predicts a crash.",
  full: "The episode has its greatest length.",
};
const HALF_VIEW = 0.21; // metres either side that the lane bar shows; its green half is the lane

/** Paint an image on its canvas. */
export async function paint(canvas, { width, height, coding, bytes }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (coding === "jpeg") {
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
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

/** Show all images of a moment, and no others. */
export async function showImages(images) {
  const figures = [...document.querySelectorAll("figure[data-image]")];
  for (const figure of figures) figure.hidden = !images[figure.dataset.image];
  const shown = figures.filter((figure) => !figure.hidden);
  await Promise.all(shown.map((figure) => paint(figure.firstElementChild, images[figure.dataset.image])));
}

/** Show the numbers of a moment. */
export function showFacts(moment) {
  const list = $("facts");
  const names = Object.keys(FACTS).filter((name) => name in moment);
  if (list.dataset.names !== names.join()) {
    list.dataset.names = names.join();
    list.replaceChildren(...names.flatMap((name) => {
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      term.textContent = FACTS[name][0];
      value.dataset.fact = name;
      return [term, value];
    }));
  }
  for (const value of list.querySelectorAll("dd")) {
    const [, tell, bad] = FACTS[value.dataset.fact];
    value.textContent = tell(moment[value.dataset.fact]);
    value.classList.toggle("bad", Boolean(bad?.(moment[value.dataset.fact])));
  }
  const onRoad = "lane_dist" in moment;
  $("lane").hidden = !onRoad;
  if (onRoad && moment.lane_dist !== null) {
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
