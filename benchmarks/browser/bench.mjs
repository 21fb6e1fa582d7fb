// node bench.mjs FOLDER PAGE: the libraries on the graphs in FOLDER; then frames a second of the dream at PAGE,
// and of the dream in FOLDER/dream.html.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";

const [folder, page] = process.argv.slice(2);
const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const SECONDS = 10;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const server = createServer((request, response) => {
  const found = [import.meta.dirname, folder].map((root) => join(root, request.url)).find(existsSync);
  response.writeHead(found ? 200 : 404, { "content-type": TYPES[extname(request.url)] ?? "application/octet-stream" });
  found ? createReadStream(found).pipe(response) : response.end();
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

async function libraries() {
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${server.address().port}/bench.html`);
  await tab.waitForFunction(() => "measured" in window);
  const measured = await tab.evaluate(() => window.measured);
  await tab.close();
  return measured;
}

/** Steps a second while driving, at the pace that the page begins with and at 60. */
async function rates(address, ready) {
  const tab = await browser.newPage();
  await tab.goto(address);
  await tab.waitForFunction(ready, null, { timeout: 120000 });
  const found = {};
  for (const pace of [30, 60]) {
    await tab.click("#begin");
    await tab.$eval("#pace", (input, rate) => {
      input.value = rate;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }, pace);
    // What is counted are images painted: the number of the moment, seen at every frame of the screen.
    found[pace] = await tab.evaluate(async (seconds) => {
      const shown = () => document.querySelector("#moment").textContent;
      const start = () => document.querySelector("#run").textContent === "Drive" && document.querySelector("#run").click();
      let [last, count] = [shown(), 0];
      const end = performance.now() + seconds * 1000;
      start();
      while (performance.now() < end) {
        await new Promise(requestAnimationFrame);
        if (shown() !== last) [last, count] = [shown(), count + 1];
        if (document.querySelector("#over:not([hidden])")) document.querySelector("#begin").click(); // the dream ended
        start();
      }
      return count / seconds;
    }, SECONDS);
    await tab.$eval("#run", (button) => button.textContent === "Pause" && button.click());
  }
  await tab.close();
  return found;
}

const results = {
  milliseconds: await libraries(),
  frames_per_second: {
    page: await rates(page, () => document.querySelector("#images").dataset.shown === "dream"),
    file: await rates(`file://${folder}/dream.html`, () => document.querySelector("#images").dataset.shown === "dream"),
  },
};
console.log(JSON.stringify(results));
await browser.close();
server.close();
