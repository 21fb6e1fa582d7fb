// node evolve.mjs FILE: frames a second of the dream as one file, and a controller evolved in it; prints JSON.

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const SECONDS = 8; // of driving at 60 steps a second
const PATIENCE = 600000; // milliseconds

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
page.setDefaultTimeout(PATIENCE);
await page.goto(process.argv[2]);
await page.waitForSelector("#checked.good");

const frames = await page.evaluate(async (seconds) => {
  const shown = () => document.querySelector("#moment").textContent;
  const pace = (rate) => {
    const slider = document.querySelector("#pace");
    slider.value = rate;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  };
  pace(60);
  let [last, count] = [shown(), 0];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    if (shown() !== last) [last, count] = [shown(), count + 1];
    if (document.querySelector("#over:not([hidden])")) document.querySelector("#begin").click(); // the dream ended
  }
  pace(10);
  return count / seconds;
}, SECONDS);

await page.click("#evolve");
await page.waitForFunction(() => globalThis.searched || /stopped/.test(document.querySelector("#evolve_status").textContent));
const evolved = await page.evaluate(() => globalThis.searched);
if (!evolved) throw new Error(await page.textContent("#evolve_status"));
console.log(JSON.stringify({ frames_per_second: frames, ...evolved }));
await browser.close();
