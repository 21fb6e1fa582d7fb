// What the scenarios share: a browser, and ways to read what a page shows.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export { assert };

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
export const PATIENCE = 90000; // milliseconds: compiling the road for the first time takes a while

export async function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/**
 * A page that fails the scenario on any error of its own, and on any request to elsewhere. It opens with the
 * controller driving; unless `warm`, or where a link is opened, it is paused and the person drives.
 */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.stack));
  page.on("console", (message) => message.type() === "error" && !page.mayFail && page.faults.push(message.text()));
  page.on("request", (request) => {
    const home = url.startsWith("http") ? new URL(url).origin : "file:";
    if (!request.url().startsWith(home) && !/^(blob|data):/.test(request.url())) page.faults.push(`asked for ${request.url()}`);
  });
  if (options.before) await page.addInitScript(options.before);
  await page.goto(url);
  if (!options.warm && !url.includes("#drive=")) await calm(page);
  return page;
}

/** Pause, and let the person drive. */
export async function calm(page) {
  await page.waitForSelector("#images[data-shown]:not([data-shown=''])");
  if (await page.textContent("#run") === "Pause") await page.keyboard.press("Space");
  await paused(page);
  await page.keyboard.press("Digit1");
  await page.waitForSelector("[data-policy=person][aria-pressed=true]");
}

/** The moment that is shown: step and length of the episode. */
export async function at(page) {
  const [step, length] = (await page.textContent("#moment")).split("/").map(Number);
  return { step, length };
}

export const reach = (page, step) =>
  page.waitForFunction((least) => parseInt(document.querySelector("#moment").textContent) >= least, step);

/** A number among the facts, for example "distance". */
export const fact = async (page, name) => parseFloat(await page.textContent(`dd[data-fact=${name}]`));

/** All pixels of a canvas. */
export const pixels = (page, selector) =>
  page.$eval(selector, (canvas) => Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data));

/** How much two images differ: the mean over all numbers, 0 to 255. */
export function difference(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, k) => sum + Math.abs(value - b[k]), 0) / a.length;
}

/** How many colours a canvas shows: a blank one shows 1. */
export const colours = (data) => new Set(data.filter((_, k) => k % 4 === 1)).size;

export async function world(page, name) {
  if (await page.isVisible(`[data-world=${name}]`)) await page.click(`[data-world=${name}]`);
  else await page.click("#begin"); // the dream as one file has no other world
  await page.waitForSelector(`#worlds [data-world=${name}][aria-pressed=true]`, { state: "attached" });
  await page.waitForSelector(`#images[data-shown=${name}]`);
  await page.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 0");
}

export const running = (page) => page.waitForFunction(() => document.querySelector("#run").textContent === "Pause");
export const paused = (page) => page.waitForFunction(() => document.querySelector("#run").textContent === "Drive");

/** Move a slider as a hand does that knows where to. */
export const slide = (page, selector, value) =>
  page.$eval(selector, (input, to) => {
    input.value = to;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }, value);

/** Ask the test's Python side for something, such as "stop" the server. */
export async function ask(what) {
  const lines = createInterface({ input: process.stdin });
  const answer = new Promise((resolve) => lines.once("line", resolve));
  console.log(`@${what}`);
  await answer;
  lines.close();
}
