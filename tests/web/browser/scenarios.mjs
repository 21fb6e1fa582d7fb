// What people do with the page. Run by tests/web/test_browser.py: node scenarios.mjs NAME ADDRESS

import { readFile } from "node:fs/promises";
import {
  PATIENCE, ask, assert, at, colours, difference, fact, launch, open, paused, pixels, reach, running, slide, world,
} from "./harness.mjs";

const CAMERA = "[data-image=camera] canvas";
const DREAM = "[data-image=dream] canvas";

const scenarios = {
  async keys_drive_on_the_road(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    const before = await pixels(page, CAMERA);
    assert.ok(colours(before) > 20, "the camera image is blank");
    const map = await pixels(page, "#map");
    await page.keyboard.press("Space");
    await page.keyboard.down("ArrowUp");
    await reach(page, 6);
    assert.ok(await fact(page, "speed") > 0.1);
    assert.equal(await page.textContent("#throttle_value"), "0.50");
    await page.keyboard.down("KeyA");
    await page.waitForFunction(() => document.querySelector("#steering_value").textContent.endsWith("L"));
    await page.keyboard.up("KeyA");
    await page.keyboard.up("ArrowUp");
    await page.keyboard.press("Space");
    await paused(page);
    assert.ok(difference(before, await pixels(page, CAMERA)) > 1, "the camera image did not change");
    assert.ok(difference(map, await pixels(page, "#map")) > 0, "no path on the map");
    return page;
  },

  async going_back_and_on_differently(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    const first = await pixels(page, CAMERA);
    await page.keyboard.press("Digit3"); // the expert
    await page.click("#run");
    await reach(page, 20);
    await page.click("#run");
    await paused(page);
    const end = await at(page);
    const last = await pixels(page, CAMERA);
    await page.keyboard.press("Comma");
    await page.waitForFunction((step) => parseInt(document.querySelector("#moment").textContent) === step, end.step - 1);
    await slide(page, "#timeline", 0);
    await page.waitForFunction(() => parseInt(document.querySelector("#moment").textContent) === 0);
    assert.equal(difference(first, await pixels(page, CAMERA)), 0);
    assert.equal((await at(page)).length, end.length, "going back must lose nothing");
    await slide(page, "#timeline", end.step);
    await reach(page, end.step);
    assert.equal(difference(last, await pixels(page, CAMERA)), 0);
    await slide(page, "#timeline", 5);
    await page.waitForFunction(() => parseInt(document.querySelector("#moment").textContent) === 5);
    await page.keyboard.press("Digit1");
    await page.keyboard.press("Period");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "6 / 6");
    return page;
  },

  async the_policy_changes(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    await page.keyboard.press("Space");
    await running(page);
    await page.click("[data-policy=expert]");
    await page.waitForFunction(() => parseFloat(document.querySelector("dd[data-fact=distance]").textContent) > 0.8);
    assert.equal(await page.textContent("dd[data-fact=in_lane]"), "yes");
    await page.click("[data-policy=controller]");
    await page.waitForSelector("[data-policy=controller][aria-pressed=true]");
    await page.click("[data-policy=person]");
    await page.waitForSelector("[data-policy=person][aria-pressed=true]");
    await page.waitForFunction(() => document.querySelector("#throttle_value").textContent === "0.00");
    return page;
  },

  async the_dream_its_numbers_and_its_sliders(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    assert.ok(await page.isDisabled("[data-policy=expert]"), "nobody knows the way in a dream");
    const before = await pixels(page, DREAM);
    await page.click("#run");
    await page.keyboard.down("ArrowUp");
    await reach(page, 15);
    await slide(page, "#temperature", 0.3);
    await page.keyboard.press("Space");
    await paused(page);
    for (const name of ["predicted_reward", "end_probability", "entropy"]) assert.ok(Number.isFinite(await fact(page, name)), name);
    const here = await pixels(page, DREAM);
    assert.ok(difference(before, here) > 0.2, "the dream stands still");
    const next = await pixels(page, "[data-image=next] canvas");
    assert.ok(difference(here, next) > 0, "the next frame is this one");

    await page.click("#latents_card summary");
    const first = page.locator("#latents input").first();
    await page.waitForFunction(() => [...document.querySelectorAll("#latents input")].some((input) => Number(input.value) !== 0));
    await first.evaluate((input) => {
      input.value = Number(input.value) > 0 ? -4 : 4;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
    await page.waitForFunction((old) => {
      const canvas = document.querySelector("[data-image=dream] canvas");
      const data = canvas.getContext("2d").getImageData(0, 0, 64, 64).data;
      return old.some((value, k) => Math.abs(value - data[k]) > 1);
    }, here);
    return page;
  },

  async until_when_the_dream_is_true(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    assert.ok(await page.isHidden("#trust"), "a promise");
    for (const [name, told] of [["dream", /^uncertain since 0\.0 s$/], ["split", /^true until \d\.\d s$/]]) {
      await world(page, name);
      await page.keyboard.press("Space");
      await reach(page, 20);
      await page.keyboard.press("Space");
      await paused(page);
      assert.match(await page.innerText("#trust"), told);
    }
    await page.keyboard.press("KeyT");
    await page.waitForFunction(() => document.querySelector("#trust").textContent === "true so far");
    return page;
  },

  async pace_by_buttons(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    await page.waitForSelector("#paces [data-times='1'][aria-pressed=true]");
    await page.click("#paces [data-times='3']");
    assert.equal(await page.textContent("#pace_value"), "x3, 30/s");
    await page.waitForSelector("#paces [data-times='3'][aria-pressed=true]");
    await slide(page, "#pace", 20);
    assert.equal(await page.locator("#paces [aria-pressed=true]").count(), 0);
    await page.click("#paces [data-times='1']");
    assert.equal(await page.inputValue("#pace"), "10");
    await page.keyboard.press("Space"); // keys drive again after the button
    await running(page);
    return page;
  },

  async temperature_acts_at_once(browser, url) {
    // The same seed, the same steps: only the slider tells the dreams apart.
    const page = await open(browser, url);
    const dreamt = async (change) => {
      await world(page, "dream");
      await slide(page, "#temperature", 1);
      for (let step = 1; step <= 4; step++) {
        if (step === 3) await slide(page, "#temperature", change);
        await page.keyboard.press("Period");
        await reach(page, step);
      }
      return pixels(page, DREAM);
    };
    const [warm, again, cold] = [await dreamt(1), await dreamt(1), await dreamt(0)];
    assert.equal(difference(warm, again), 0);
    assert.ok(difference(warm, cold) > 0);
    return page;
  },

  async three_images_in_step(browser, url) {
    const page = await open(browser, url);
    await world(page, "seen");
    await page.keyboard.press("Digit3");
    await page.click("#run");
    await reach(page, 5);
    await page.click("#run");
    await paused(page);
    for (const name of ["camera", "reconstruction", "predicted"]) {
      const data = await pixels(page, `[data-image=${name}] canvas`);
      assert.equal(data.length, 64 * 64 * 4);
      assert.ok(colours(data) > 3, `${name} is blank`);
    }
    assert.ok(await page.isVisible("#map"));
    assert.ok(Number.isFinite(await fact(page, "lane_dist")));
    return page;
  },

  async touch_drives(browser, url) {
    const page = await open(browser, url, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await world(page, "road");
    await page.tap("#run");
    await running(page);
    await page.locator("#pad").scrollIntoViewIfNeeded();
    const { x, y, width, height } = await page.locator("#pad").boundingBox();
    const touch = await page.context().newCDPSession(page);
    const point = (dx, dy) => [{ x: x + width * (0.5 + dx / 2), y: y + height * (0.5 - dy / 2) }];
    await touch.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: point(0, 0.1) });
    await touch.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: point(0.5, 0.7) });
    await page.waitForFunction(() => parseFloat(document.querySelector("#throttle_value").textContent) > 0.5);
    await page.waitForFunction(() => document.querySelector("#steering_value").textContent.endsWith("R"));
    await touch.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
    await page.waitForFunction(() => document.querySelector("#throttle_value").textContent === "0.00");
    for (const name of ["dream", "split", "seen", "road"]) { // what to touch is told above the images, and touching it takes over
      await page.tap(`[data-world=${name}]`);
      await page.waitForSelector(`#images[data-shown=${name}]`);
      await page.tap("[data-policy=controller]");
      await page.waitForSelector("#prompt:not([hidden])");
      assert.match(await page.textContent("#prompt"), /Touch the pad/);
      assert.ok(await page.$eval("#prompt", (prompt) => {
        prompt.scrollIntoView();
        prompt.style.pointerEvents = "auto";
        const { x, y, width, height } = prompt.getBoundingClientRect();
        const top = document.elementFromPoint(x + width / 2, y + height / 2);
        prompt.style.pointerEvents = "";
        return top === prompt;
      }), `${name}: something covers the prompt`);
      await page.locator("#pad").scrollIntoViewIfNeeded();
      await page.tap("#pad");
      await page.waitForSelector("[data-policy=person][aria-pressed=true]");
    }
    return page;
  },

  async a_gamepad_drives(browser, url) {
    const page = await open(browser, url, {
      before: () => {
        window.pad = { connected: true, axes: [0, 0], buttons: Array.from({ length: 17 }, () => ({ value: 0 })) };
        navigator.getGamepads = () => [null, window.pad];
      },
    });
    await world(page, "road");
    await page.click("#run");
    await page.evaluate(() => {
      window.pad.buttons[7].value = 0.8;
      window.pad.axes[0] = -0.5;
    });
    await page.waitForFunction(() => document.querySelector("#throttle_value").textContent === "0.80");
    assert.match(await page.textContent("#steering_value"), /0\.4\d L/);
    const press = (number) => page.evaluate((which) => {
      window.pad.buttons[which].pressed = true;
      setTimeout(() => (window.pad.buttons[which].pressed = false), 100);
    }, number);
    await press(9); // start: as the space key
    await paused(page);
    await press(8); // select: begin again
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 0");
    await press(5);
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "1 / 1");
    await press(4);
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 1");
    await press(3); // the controller, until the stick is moved again
    await page.waitForSelector("[data-policy=controller][aria-pressed=true]");
    return page;
  },

  async a_link_that_leads_nowhere(browser, url) {
    const page = await open(browser, `${url}#drive=AAAA`);
    await page.waitForSelector("#notice:not([hidden])");
    await page.waitForSelector("#images[data-shown=dream]"); // there is a drive all the same
    await reach(page, 2);
    return page;
  },

  async a_link_brings_its_temperature(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    await slide(page, "#temperature", 0.4);
    for (let step = 1; step <= 3; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    const last = await pixels(page, DREAM);
    await page.click("#share");
    await page.waitForSelector("#link:not([hidden])");
    const other = await open(browser, await page.inputValue("#link"));
    await other.waitForFunction(() => document.querySelector("#moment").textContent === "3 / 3");
    assert.equal(await other.textContent("#temperature_value"), "lively, 0.40");
    assert.equal(difference(last, await pixels(other, DREAM)), 0);
    // The same step from the same moment: both go the same way on.
    await other.click("[data-policy=person]");
    for (const tab of [page, other]) {
      await tab.click("#step"); // keys belong to the link's letters now
      await reach(tab, 4);
    }
    assert.equal(difference(await pixels(page, DREAM), await pixels(other, DREAM)), 0);
    assert.deepEqual(other.faults, []);
    return page;
  },

  async keys_drive_after_a_choice_from_a_list(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    await page.click("#map_name");
    await page.selectOption("#map_name", "small_loop");
    await page.waitForFunction(() => document.activeElement === document.body);
    await page.waitForSelector("#images[data-shown=road]");
    await page.click("#seed");
    await page.keyboard.type("7");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement === document.body);
    await page.waitForSelector("#images[data-shown=road]");
    await page.keyboard.down("KeyW");
    await page.keyboard.press("Space");
    await reach(page, 3);
    assert.equal(await page.inputValue("#map_name"), "small_loop");
    assert.ok(Number(await page.inputValue("#seed")) > 0);
    return page;
  },

  async worlds_change_while_it_runs(browser, url) {
    // Images of the world before must neither be shown nor counted in the next.
    const page = await open(browser, url, { warm: true });
    for (const name of ["road", "seen", "split", "dream", "road", "dream", "seen"]) {
      await page.click(`[data-world=${name}]`);
      await page.waitForSelector(`#images[data-shown=${name}]`);
      const shown = await page.$$eval("figure:not([hidden])", (figures) => figures.map((figure) => figure.dataset.image).sort());
      const expected = { road: ["camera"], seen: ["camera", "reconstruction"], dream: ["dream", "next"], split: ["camera", "dream", "reconstruction"] }[name];
      assert.deepEqual(shown.filter((image) => image !== "predicted"), expected);
      const width = await page.$eval("figure:not([hidden]) canvas", (canvas) => canvas.width);
      assert.equal(width, { road: 384, split: 288 }[name] ?? 64);
      await reach(page, 2); // it goes on running
    }
    return page;
  },

  async a_server_that_was_away_for_long(browser, url) {
    const page = await open(browser, url);
    page.mayFail = true;
    await world(page, "dream");
    await page.click("#run");
    await reach(page, 3);
    await ask("stop");
    await page.waitForFunction(() => !document.querySelector("#status").classList.contains("open"));
    assert.ok(await page.$eval("main", (main) => main.inert), "what cannot be heard must not look as if");
    await page.keyboard.press("Space");
    await page.keyboard.press("Period");
    await ask("start");
    await page.waitForSelector("#status.open");
    await page.waitForSelector("#images[data-shown=dream]");
    assert.ok(!await page.$eval("main", (main) => main.inert));
    const { step } = await at(page);
    await page.click("#step");
    await reach(page, step + 1);
    return page;
  },

  async a_tab_out_of_view_asks_for_no_images(browser, url) {
    const page = await open(browser, url, { before: () => {
      window.away = false;
      Object.defineProperty(document, "hidden", { get: () => window.away });
    } });
    const turn = (away) => page.evaluate((now) => {
      window.away = now;
      document.dispatchEvent(new Event("visibilitychange"));
    }, away);
    await world(page, "dream");
    const before = await pixels(page, DREAM);
    await turn(true);
    for (const step of [1, 2, 3]) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    assert.equal(difference(before, await pixels(page, DREAM)), 0);
    assert.ok(await fact(page, "predicted_reward"));
    await turn(false);
    await page.waitForFunction((old) => {
      const { data } = document.querySelector("[data-image=dream] canvas").getContext("2d").getImageData(0, 0, 64, 64);
      return old.some((value, k) => value !== data[k]);
    }, before);
    assert.deepEqual(await at(page), { step: 3, length: 3 });
    // At a pace that the server cannot keep, small images come more rarely, but stay.
    await world(page, "split");
    await slide(page, "#pace", 60);
    await page.evaluate(() => {
      window.vanished = 0;
      const figure = document.querySelector("[data-image=reconstruction]");
      new MutationObserver(() => (window.vanished += figure.classList.contains("empty"))).observe(figure, { attributes: true });
    });
    await page.click("[data-policy=expert]");
    await page.click("#run");
    await reach(page, 15);
    assert.equal(await page.evaluate(() => window.vanished), 0);
    assert.ok(colours(await pixels(page, "[data-image=reconstruction] canvas")) > 3);
    return page;
  },

  async two_tabs_at_once(browser, url) {
    const [one, two] = [await open(browser, url), await open(browser, url)];
    const count = () => one.evaluate(async () => (await (await fetch("/status")).json()).worlds);
    await world(one, "road");
    await world(two, "dream");
    assert.equal(await count(), 2);
    await one.click("#run");
    await two.click("#run");
    await reach(one, 8);
    await reach(two, 8);
    await two.close();
    const end = Date.now() + PATIENCE;
    while (await count() !== 1) assert.ok(Date.now() < end, "a closed tab's world continues");
    await reach(one, (await at(one)).step + 5);
    return one;
  },

  async the_server_stops_and_starts(browser, url) {
    const page = await open(browser, url);
    page.mayFail = true; // the browser itself complains of refused connections
    await world(page, "road");
    await page.click("[data-policy=expert]");
    await page.click("#run");
    await reach(page, 10);
    await page.click("#run");
    await paused(page);
    const { step } = await at(page);
    const before = await pixels(page, CAMERA);
    await ask("kill"); // without a word to its tabs
    await page.waitForFunction(() => !document.querySelector("#status").classList.contains("open"));
    await ask("start");
    await page.waitForSelector("#status.open");
    await page.waitForSelector("#images[data-shown=road]");
    await page.waitForFunction((wanted) => document.querySelector("#moment").textContent === `${wanted} / ${wanted}`, step);
    assert.equal(difference(before, await pixels(page, CAMERA)), 0, "the episode continues somewhere else");
    await page.waitForSelector("[data-policy=expert][aria-pressed=true]");
    await page.click("#step");
    await reach(page, step + 1);
    return page;
  },

  async a_dream_with_something_ahead_survives_the_server(browser, url) {
    const page = await open(browser, url);
    page.mayFail = true;
    await world(page, "dream");
    await slide(page, "#temperature", 0.7);
    for (let step = 1; step <= 4; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    await page.click("#latents_card summary");
    await page.waitForFunction(() => [...document.querySelectorAll("#latents input")].some((input) => Number(input.value) !== 0));
    await slide(page, "#latents input >> nth=0", 2.5);
    await page.waitForSelector("#latents label.changed");
    for (let step = 5; step <= 7; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    const last = await pixels(page, DREAM);
    await slide(page, "#timeline", 5);
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "5 / 7");
    const here = await pixels(page, DREAM);
    await ask("kill");
    await page.waitForFunction(() => !document.querySelector("#status").classList.contains("open"));
    await ask("start");
    await page.waitForSelector("#images[data-shown=dream]");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "5 / 7");
    assert.equal(difference(here, await pixels(page, DREAM)), 0);
    await slide(page, "#timeline", 7);
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "7 / 7");
    assert.equal(difference(last, await pixels(page, DREAM)), 0);
    return page;
  },

  async keys_drive_after_a_link(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    await page.keyboard.press("Period");
    await reach(page, 1);
    await page.click("#share");
    await page.waitForSelector("#link:not([hidden])");
    await page.keyboard.press("Period");
    await reach(page, 2);
    await page.click("#link"); // to copy it by hand
    await page.keyboard.press("Period");
    await reach(page, 3);
    return page;
  },

  async the_address_holds_the_drive_that_is_shown_or_none(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    const address = () => page.evaluate(() => location.hash);
    const share = async () => {
      await page.click("#share");
      await page.waitForFunction(() => location.hash !== "");
    };
    await page.keyboard.press("Period");
    await reach(page, 1);
    await share();
    const link = page.url();
    await page.keyboard.press("Period"); // another drive now
    await reach(page, 2);
    assert.equal(await address(), "");
    await share();
    await page.keyboard.press("KeyR");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 0");
    assert.equal(await address(), "");
    const other = await open(browser, link);
    await other.waitForFunction(() => document.querySelector("#moment").textContent === "1 / 1");
    assert.equal(other.url(), link);
    await other.keyboard.press("Comma"); // still the same drive
    await other.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 1");
    assert.equal(other.url(), link);
    await world(other, "road");
    assert.equal(other.url(), url);
    assert.deepEqual(other.faults, []);
    return page;
  },

  async the_chosen_policy_stays(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    const drives = (policy) => page.waitForSelector(`[data-policy=${policy}][aria-pressed=true]`);
    await page.keyboard.press("Digit3");
    await drives("expert");
    await page.keyboard.press("Period");
    await reach(page, 1);
    await page.keyboard.press("KeyR");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "0 / 0");
    await drives("expert");
    await world(page, "seen");
    await drives("expert");
    await world(page, "dream"); // where there is none
    await drives("person");
    await world(page, "road");
    await drives("expert");
    return page;
  },

  async it_begins_at_the_car_s_own_pace_and_at_the_true_temperature(browser, url) {
    const page = await open(browser, url);
    for (const name of ["dream", "road"]) {
      await world(page, name);
      assert.equal(await page.textContent("#pace_value"), "x1, 10/s");
    }
    assert.equal(await page.textContent("#temperature_value"), "calm, 0.10");
    assert.equal(await page.inputValue("#temperature"), "0.1");
    assert.equal(await page.getAttribute("#temperature", "max"), "3");
    assert.ok(!(await page.getAttribute("#file", "accept")).includes("svg"));
    return page;
  },

  async recording_and_linking(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    await page.click("[data-policy=expert]");
    await page.click("#run");
    await reach(page, 15);
    await page.click("#run");
    await paused(page);
    await page.click("#save");
    await page.waitForSelector("#saved a");
    const video = await page.evaluate(async () => {
      const answer = await fetch(document.querySelector("#saved a").href);
      return [answer.headers.get("content-type"), (await answer.arrayBuffer()).byteLength];
    });
    assert.equal(video[0], "video/mp4");
    assert.ok(video[1] > 1000);
    const { step } = await at(page);
    const distance = await page.textContent("dd[data-fact=distance]");
    await page.click("#share");
    await page.waitForSelector("#link:not([hidden])");
    const other = await open(browser, await page.inputValue("#link"));
    await other.waitForFunction((wanted) => document.querySelector("#moment").textContent === `${wanted} / ${wanted}`, step);
    await paused(other);
    assert.equal(await other.textContent("dd[data-fact=distance]"), distance);
    assert.equal(difference(await pixels(page, CAMERA), await pixels(other, CAMERA)), 0);
    return page;
  },

  async images_and_videos(browser, url) {
    const page = await open(browser, url);
    await world(page, "split");
    await page.keyboard.press("Digit3");
    for (let step = 1; step <= 6; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    assert.deepEqual(await page.$$eval("#shown option", (all) => all.map((one) => one.value)), ["", "camera", "dream", "reconstruction"]);
    await page.fill("#every", "2");
    for (const [form, end, kind] of [["image", "png", "image/png"], ["strip", "png", "image/png"], ["gif", "gif", "image/gif"], ["mp4", "mp4", "video/mp4"]]) {
      await page.click(`[data-form=${form}]`);
      const link = page.locator(`#saved a[href*="-${form}-"]`);
      await link.waitFor();
      assert.match(await link.getAttribute("href"), new RegExp(`^/videos/split-0-6-${form}-\\d+\\.${end}$`));
      const told = await page.evaluate(async (href) => (await fetch(href)).headers.get("content-type"), await link.getAttribute("href"));
      assert.equal(told, kind);
    }
    assert.deepEqual(await at(page), { step: 6, length: 6 });
    return page;
  },

  async dreaming_from_an_image_and_from_a_recording(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    const drawn = await pixels(page, DREAM);
    const png = Buffer.from((await page.evaluate(() => {
      const canvas = Object.assign(document.createElement("canvas"), { width: 3000, height: 2000 });
      const context = canvas.getContext("2d");
      context.fillStyle = "#208040";
      context.fillRect(0, 0, 3000, 2000);
      context.fillStyle = "#f0d020";
      context.fillRect(1000, 900, 900, 900);
      return canvas.toDataURL("image/png");
    })).split(",")[1], "base64");
    await page.click("#from summary");
    await page.setInputFiles("#file", { name: "road.png", mimeType: "image/png", buffer: png });
    await page.waitForFunction((old) => {
      const data = document.querySelector("[data-image=dream] canvas").getContext("2d").getImageData(0, 0, 64, 64).data;
      return old.some((value, k) => Math.abs(value - data[k]) > 1);
    }, drawn);
    await page.setInputFiles("#file", { name: "no.png", mimeType: "image/png", buffer: Buffer.from("no image") });
    await page.waitForSelector("#notice:not([hidden])");
    const imagined = await pixels(page, DREAM);

    await world(page, "road");
    for (let step = 1; step <= 3; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
    }
    await page.click("#save");
    await page.waitForSelector("#saved a");
    await world(page, "dream");
    await page.waitForSelector("#dream_on");
    await page.waitForFunction(() => Number(document.querySelector("#frame").max) === 2); // the newest comes first
    await slide(page, "#frame", 2);
    await page.waitForFunction(() => document.querySelector("#preview").getContext("2d").getImageData(20, 40, 1, 1).data[0] > 0);
    await page.click("#dream_on");
    await page.waitForFunction((old) => {
      const data = document.querySelector("[data-image=dream] canvas").getContext("2d").getImageData(0, 0, 64, 64).data;
      return old.some((value, k) => Math.abs(value - data[k]) > 1);
    }, imagined);
    return page;
  },

  async it_opens_in_motion_and_a_key_takes_over(browser, url) {
    const page = await open(browser, url, { warm: true });
    await page.waitForSelector("[data-policy=controller][aria-pressed=true]");
    await reach(page, 5);
    assert.match(await page.textContent("#prompt"), /^The controller drives\. Press an arrow key/);
    await page.keyboard.down("ArrowUp");
    await page.waitForSelector("[data-policy=person][aria-pressed=true]");
    await page.waitForFunction(() => document.querySelector("#throttle_value").textContent === "0.50");
    assert.ok(await page.isHidden("#prompt"));
    await page.keyboard.press("Space"); // the key is still down, and does not start it again
    await paused(page);
    const { step } = await at(page);
    await page.waitForTimeout(500);
    assert.equal((await at(page)).step, step);
    await page.keyboard.up("ArrowUp");
    await page.keyboard.down("KeyA"); // while paused, a key that drives starts the drive
    await running(page);
    await page.keyboard.up("KeyA");
    await page.keyboard.press("KeyM");
    await page.waitForSelector("[data-policy=controller][aria-pressed=true]");
    await page.keyboard.press("KeyM");
    await page.waitForSelector("[data-policy=person][aria-pressed=true]");
    return page;
  },

  async with_reduced_motion_it_opens_paused(browser, url) {
    const page = await open(browser, url, { warm: true, reducedMotion: "reduce" });
    await page.waitForSelector("#images[data-shown=dream]");
    await page.waitForTimeout(500);
    assert.deepEqual(await at(page), { step: 0, length: 0 });
    await page.keyboard.press("Space");
    await reach(page, 3);
    assert.equal(await page.locator("[data-policy=controller][aria-pressed=true]").count(), 1);
    return page;
  },

  async nothing_moves_when_images_come(browser, url) {
    for (const [width, height] of [[1440, 900], [390, 844], [3840, 2160]]) {
      const page = await open(browser, url, { viewport: { width, height }, warm: true, before: () => {
        window.shifts = [];
        new PerformanceObserver((list) => list.getEntries().forEach(({ value, sources }) =>
          window.shifts.push([value, ...sources.map(({ node }) => `${node?.nodeName}#${node?.id}`)]))).observe({ type: "layout-shift", buffered: true });
      } });
      await reach(page, 12);
      const shifts = await page.evaluate(() => window.shifts);
      assert.ok(shifts.reduce((sum, [value]) => sum + value, 0) < 0.01, JSON.stringify(shifts));
      await page.close();
    }
    return open(browser, url);
  },

  async one_large_image_and_insets(browser, url) {
    const page = await open(browser, url);
    await world(page, "seen");
    const width = (name) => page.$eval(`[data-image=${name}] canvas`, (canvas) => canvas.getBoundingClientRect().width);
    assert.ok(await width("camera") > 2.5 * await width("reconstruction"));
    await page.click("[data-image=reconstruction] button");
    assert.ok(await width("reconstruction") > 2.5 * await width("camera"));
    await world(page, "split");
    assert.equal(await width("camera"), await width("dream"));
    await page.click("[data-image=dream] button");
    assert.ok(await width("dream") > 2.5 * await width("camera"));
    await page.click("[data-image=dream] button");
    assert.equal(await width("camera"), await width("dream"));
    await page.keyboard.press("KeyF");
    await page.waitForFunction(() => document.fullscreenElement?.id === "images");
    await page.keyboard.press("KeyF");
    await page.waitForFunction(() => document.fullscreenElement === null);
    return page;
  },

  async the_dream_beside_the_road(browser, url) {
    const page = await open(browser, url);
    await world(page, "split");
    const apart = () => page.$eval("#apart_value", (value) => parseFloat(value.textContent));
    assert.equal(await apart(), 0);
    await page.keyboard.press("Digit3");
    await page.keyboard.press("Space");
    await reach(page, 12);
    await page.keyboard.press("Space");
    await paused(page);
    assert.ok(await apart() > 0, "random weights cannot know the road");
    assert.ok(difference(await pixels(page, DREAM), await pixels(page, "[data-image=reconstruction] canvas")) > 0);
    await page.keyboard.press("KeyT");
    await page.waitForFunction(() => parseFloat(document.querySelector("#apart_value").textContent) === 0);
    assert.equal(difference(await pixels(page, DREAM), await pixels(page, "[data-image=reconstruction] canvas")), 0);
    return page;
  },

  async latents_are_viewed_reset_and_drawn(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    const before = await pixels(page, DREAM);
    const is = (same) => page.waitForFunction(([old, wanted]) => {
      const data = document.querySelector("[data-image=dream] canvas").getContext("2d").getImageData(0, 0, 64, 64).data;
      return old.every((value, k) => value === data[k]) === wanted;
    }, [before, same]);
    await page.click("#latents_card summary");
    await page.focus("#latents input >> nth=0");
    await page.waitForSelector("[data-view=high]:enabled");
    const [low, high] = [await pixels(page, "[data-view=low] canvas"), await pixels(page, "[data-view=high] canvas")];
    assert.ok(difference(low, high) > 0);
    await page.click("[data-view=high]");
    await is(false);
    assert.equal(difference(high, await pixels(page, DREAM)), 0);
    await page.click("#random_latents");
    await page.waitForFunction(() => document.querySelectorAll("#latents .changed").length === 64);
    assert.ok(difference(high, await pixels(page, DREAM)) > 0);
    await page.click("#reset_latents");
    await is(true);
    assert.equal(await page.locator("#latents .changed").count(), 0);
    return page;
  },

  async the_images_stay_in_view_beside_latents(browser, url) {
    let page;
    for (const [width, height] of [[390, 844], [844, 390], [1440, 900]]) {
      page = await open(browser, url, { viewport: { width, height } });
      await world(page, "dream");
      await page.click("#latents_card summary");
      await page.focus("#latents input");
      const [image, slider] = await page.evaluate(() => ["[data-image=dream] canvas", "#latents input"].map((one) =>
        document.querySelector(one).getBoundingClientRect().toJSON()));
      assert.ok(image.top > -2 && image.bottom < height + 2 && image.height > 80, `${width}: ${JSON.stringify(image)}`);
      assert.ok(slider.top >= (width < 1000 ? image.bottom - 2 : 0) && slider.bottom <= height, `${width}: ${JSON.stringify(slider)}`);
    }
    return page;
  },

  async a_drive_stays_after_a_reload(browser, url) {
    const page = await open(browser, url);
    await world(page, "road");
    await page.selectOption("#map_name", "small_loop");
    await page.waitForSelector("#images[data-shown=road]");
    await page.keyboard.press("Digit3");
    await page.keyboard.press("Space");
    await reach(page, 8);
    await page.keyboard.press("Space");
    await paused(page);
    await slide(page, "#pace", 20);
    const { step, length } = await at(page);
    await slide(page, "#timeline", step - 2);
    const shown = () => page.waitForFunction((moment) => document.querySelector("#moment").textContent === moment, `${step - 2} / ${length}`);
    await shown();
    const before = await pixels(page, CAMERA);
    await page.reload();
    await page.waitForSelector("#images[data-shown=road]");
    await shown();
    assert.equal(difference(before, await pixels(page, CAMERA)), 0);
    await page.waitForSelector("[data-policy=expert][aria-pressed=true]");
    assert.equal(await page.textContent("#pace_value"), "x2, 20/s");
    await page.click("[data-world=dream]");
    await page.waitForSelector("#images[data-shown=dream]");
    await page.goBack(); // to the drive on the road
    await page.waitForSelector("#images[data-shown=road]");
    await shown();
    const other = await page.context().newPage(); // another visit: the same settings, in motion
    await other.goto(url);
    await other.waitForSelector("[data-policy=controller][aria-pressed=true]");
    await running(other);
    assert.equal(await other.inputValue("#map_name"), "small_loop");
    return page;
  },

  async the_temperature_stays_after_a_reload(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    await slide(page, "#temperature", 0.35);
    await page.reload(); // before any step
    await page.waitForSelector("#images[data-shown=dream]");
    await page.waitForFunction(() => document.querySelector("#temperature_value").textContent.endsWith("0.35"));
    return page;
  },

  async another_environment(browser, url) {
    const page = await open(browser, url);
    await world(page, "seen");
    for (const id of ["lane", "latents_card", "temperature_row", "map_card", "map_row", "rand_row", "warm_row"]) {
      assert.ok(!(await page.isVisible(`#${id}`)), `${id} says nothing in this world`);
    }
    assert.deepEqual(await page.$$eval("#facts dd", (all) => all.map((one) => one.dataset.fact)), ["total", "reward"]);
    await page.keyboard.press("Period");
    await reach(page, 1);
    await world(page, "dream");
    assert.ok(await page.isVisible("#temperature_row") && await page.isVisible("#latents_card"));
    assert.ok(!(await page.isVisible("#lane")) && !(await page.isVisible("#map_card")));
    return page;
  },

  async keys_and_focus(browser, url) {
    const page = await open(browser, url);
    await world(page, "dream");
    // Letters drive and command although a slider has the focus; arrows are the slider's.
    await page.focus("#temperature");
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.inputValue("#temperature"), "0.11");
    assert.equal(await page.textContent("#run"), "Drive");
    await page.keyboard.down("KeyW");
    await running(page);
    await page.keyboard.up("KeyW");
    await page.keyboard.press("Space");
    await paused(page);
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement), await page.evaluate(() => document.body));
    for (const selector of ["#run", "#warm", "#latents_card summary", "#temperature", "#other"]) {
      await page.click(selector);
      await page.waitForSelector("#images[data-shown=dream]");
      assert.ok(await page.evaluate(() => document.activeElement === document.body), selector);
    }
    // Every control has a name, and only starts and ends are spoken of.
    const nameless = await page.$$eval("button, input, select, canvas[role]", (all) => all.filter((one) =>
      !(one.textContent.trim() || one.ariaLabel || one.title || one.labels?.length)).map((one) => one.outerHTML));
    assert.deepEqual(nameless, []);
    assert.equal(await page.locator("output").count(), 0, "an output is read out at every change");
    assert.match(await page.textContent("#announcement"), /^Dream, seed \d+: begun$/);
    return page;
  },

  async everybody_can_use_it(browser, url) {
    for (const viewport of [{ width: 1440, height: 900 }, { width: 390, height: 844 }]) {
      const page = await open(browser, url, { viewport, bypassCSP: true });
      for (const name of ["dream", "split", "seen", "road"]) {
        await world(page, name);
        if (name === "dream") await page.click("#latents_card summary");
        assert.deepEqual(await violations(page), [], name);
      }
      await page.close();
    }
    // Where colours are forced, pressed buttons still differ from others.
    const page = await open(browser, url, { forcedColors: "active" });
    const back = (selector) => page.$eval(selector, (button) => getComputedStyle(button).backgroundColor);
    assert.notEqual(await back("#worlds [aria-pressed=true]"), await back("#worlds [aria-pressed=false]"));
    return page;
  },

  async it_fits_every_screen(browser, url) {
    let page;
    for (const [width, height] of [[320, 200], [320, 640], [390, 844], [844, 390], [768, 1024], [1366, 768], [1920, 1080], [3840, 2160]]) {
      page = await open(browser, url, { viewport: { width, height } });
      for (const name of ["road", "seen", "split", "dream"]) {
        await world(page, name);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${name} at ${width}: ${wide} pixels wide`);
      }
      assert.deepEqual(page.faults, []);
    }
    return page;
  },

  async the_dream_as_one_file(browser, url) {
    const page = await open(browser, url, { offline: url.startsWith("file:") });
    await page.waitForFunction(() => window.dreamduck && document.querySelector("#images").dataset.shown === "dream");
    const worst = await page.evaluate(() => window.dreamduck.check());
    console.log(JSON.stringify(worst));
    assert.equal(worst.steps, 100);
    for (const name of ["z", "reward", "end_reward", "end", "image"]) assert.ok(worst[name] < 1e-3, `${name}: ${worst[name]}`);
    await world(page, "dream");
    const before = await pixels(page, "[data-image=dream] canvas");
    await page.click("#run");
    await page.keyboard.down("ArrowUp");
    await reach(page, 10);
    await page.keyboard.up("ArrowUp");
    await page.keyboard.press("Space");
    await paused(page);
    const here = await pixels(page, "[data-image=dream] canvas");
    assert.ok(difference(before, here) > 0.2);
    await page.keyboard.press("Comma");
    await page.waitForFunction((length) => parseInt(document.querySelector("#moment").textContent) < length, (await at(page)).length);
    await slide(page, "#timeline", 0);
    await page.waitForFunction(() => parseInt(document.querySelector("#moment").textContent) === 0);
    assert.equal(difference(before, await pixels(page, "[data-image=dream] canvas")), 0);
    await page.click("[data-policy=controller]");
    await page.click("#step");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "1 / 1");
    // The same episode after a reload, and from its link.
    await page.click("#latents_card summary");
    await page.click("#random_latents");
    await page.waitForFunction(() => document.querySelectorAll("#latents .changed").length === 64);
    await page.keyboard.press("Period");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "2 / 2");
    const drawn = await pixels(page, DREAM);
    await page.click("#share");
    await page.waitForFunction(() => location.hash !== "");
    const other = await open(browser, page.url());
    await page.reload();
    for (const tab of [page, other]) {
      await tab.waitForFunction(() => document.querySelector("#moment").textContent === "2 / 2");
      assert.equal(difference(drawn, await pixels(tab, DREAM)), 0);
    }
    assert.deepEqual(other.faults, []);
    await page.keyboard.press("Comma");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "1 / 2");
    await page.click("#latents_card summary");
    await page.click("#reset_latents");
    await page.waitForFunction(() => document.querySelector("#moment").textContent === "1 / 1");
    assert.ok(!page.url().includes("#"), "the address holds another drive");
    assert.match(await page.textContent("#status"), /ready/);
    return page;
  },

  async the_one_file_opens_in_motion_and_saves(browser, url) {
    const page = await open(browser, url, { warm: true });
    await page.waitForSelector("#checked.good"); // by itself
    await reach(page, 5);
    for (const [key, policy] of [["Digit1", "person"], ["Digit2", "controller"], ["KeyM", "person"]]) {
      await page.keyboard.press(key);
      await page.waitForSelector(`[data-policy=${policy}][aria-pressed=true]`);
    }
    const saved = async (button) => {
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
      return [download.suggestedFilename(), await readFile(await download.path())];
    };
    const [name, image] = await saved("#save_image");
    assert.match(name, /^dreamduck-dream-0-\d+\.png$/);
    const [width, height] = [image.readUInt32BE(16), image.readUInt32BE(20)];
    assert.deepEqual([width, height], [768, 424]);
    await page.click("#record_video");
    await page.waitForTimeout(1500);
    const [video, bytes] = await saved("#record_video");
    assert.match(video, /\.(webm|mp4)$/);
    assert.ok(bytes.length > 3000, `a video of ${bytes.length} bytes`);
    assert.equal(await page.textContent("#record_video"), "Record a video");
    return page;
  },

  async the_road_beside_the_dream_in_one_file(browser, url) {
    const page = await open(browser, url);
    await page.click("[data-world=split]");
    await page.waitForSelector("#images[data-shown=split]");
    await page.waitForFunction(() => /^\d+ \/ \d+$/.test(document.querySelector("#moment").textContent) && document.querySelector("[data-image=camera] canvas").width > 64);
    assert.ok(colours(await pixels(page, CAMERA)) > 20, "the road is blank");
    // At the first moment the dream is what the model sees in the recorded frame.
    await page.waitForFunction(() => document.querySelector("#moment").textContent.startsWith("0 /"));
    assert.equal(difference(await pixels(page, DREAM), await pixels(page, "[data-image=reconstruction] canvas")), 0);
    assert.equal(parseFloat(await page.textContent("#apart_value")), 0);
    const probed = /cm/.test(await page.textContent("#apart_value")); // without a probe, nothing is promised
    const promise = (wanted) => page.waitForFunction((text) => document.querySelector("#trust").innerText === text, probed ? wanted : "");
    await promise("true so far");
    const apart = []; // centimetres
    for (let step = 1; step <= 14; step++) {
      await page.keyboard.press("Period");
      await reach(page, step);
      apart.push(parseFloat(await page.textContent("#apart_value")));
      const late = apart.findIndex((_, k) => k + 10 <= step && apart.slice(k, k + 10).reduce((a, b) => a + b) > 100);
      await promise(late < 0 ? "true so far" : `true until ${(late / 10).toFixed(1)} s`);
    }
    await slide(page, "#timeline", 0); // with random weights the recorded drives are over by now, and would run at once if begun again
    await page.waitForFunction(() => document.querySelector("#moment").textContent.startsWith("0 /"));
    const before = await pixels(page, CAMERA);
    await page.keyboard.press("ArrowUp"); // nobody can take over what was recorded, but the drive begins
    await page.waitForSelector("#notice:not([hidden])");
    assert.match(await page.textContent("#notice"), /recorded/);
    await reach(page, 6);
    await page.keyboard.press("Space");
    await paused(page);
    assert.ok(difference(before, await pixels(page, CAMERA)) > 1, "the road stands still");
    assert.ok(difference(await pixels(page, DREAM), await pixels(page, "[data-image=reconstruction] canvas")) > 0);
    await page.keyboard.press("KeyT");
    await page.waitForFunction(() => parseFloat(document.querySelector("#apart_value").textContent) === 0);
    assert.equal(difference(await pixels(page, DREAM), await pixels(page, "[data-image=reconstruction] canvas")), 0);
    await page.keyboard.press("Period");
    await page.keyboard.press("Period");
    const { step } = await at(page);
    await page.waitForTimeout(500);
    await page.click("#share");
    await page.waitForFunction(() => location.hash !== "");
    const shown = [await pixels(page, CAMERA), await pixels(page, DREAM)];
    const told = await page.textContent("#moment");
    assert.ok(parseInt(told) >= step);
    const other = await open(browser, page.url());
    await other.waitForFunction((text) => document.querySelector("#moment").textContent === text, told);
    await paused(other);
    assert.deepEqual([await pixels(other, CAMERA), await pixels(other, DREAM)], shown);
    assert.deepEqual(other.faults, []);
    return page;
  },

  async a_controller_evolves_in_one_file(browser, url) {
    const page = await open(browser, url);
    assert.ok(await page.isDisabled("#evolved"));
    assert.equal(await page.textContent("#evolve_seconds"), await page.evaluate(() => `${window.dreamduck.about.evolution.seconds}`));
    await page.click("#evolve");
    await page.waitForFunction(() => /^Generation [2-9]/.test(document.querySelector("#evolve_status").textContent));
    assert.equal(await page.getAttribute("#evolve_status", "aria-live"), "off", "every generation is announced");
    assert.ok(colours(await pixels(page, "#fitness")) > 2, "no curve");
    await page.waitForSelector("[data-policy=evolved][aria-pressed=true]");
    assert.equal(await page.textContent("#evolve"), "Stop");
    await page.click("#evolve");
    await page.waitForFunction(() => globalThis.searched && document.querySelector("#evolve").textContent === "Evolve");
    const { evolved, straight, generations } = await page.evaluate(() => globalThis.searched);
    assert.ok(generations >= 2 && evolved.reward !== straight.reward);
    assert.match(await page.textContent("#evolve_status"), /other dreams.*the controller keeps the road in \d+ %.*standing still keeps.*straight on keeps.*It comes/);
    await page.keyboard.press("Digit1");
    await page.waitForSelector("[data-policy=person][aria-pressed=true]");
    await page.keyboard.press("Digit4");
    await page.waitForSelector("[data-policy=evolved][aria-pressed=true]");
    return page;
  },

  async everybody_can_use_the_one_file(browser, url) {
    for (const options of [{}, { viewport: { width: 390, height: 844 }, reducedMotion: "reduce" }]) {
      const page = await open(browser, url, { ...options, bypassCSP: true });
      await page.waitForSelector("#checked.good, #checked.bad"); // its line has another colour until then
      for (const name of ["dream", "split"]) {
        await page.click(`[data-world=${name}]`);
        await page.waitForSelector(`#images[data-shown=${name}]`);
        if (name === "dream") await page.click("#latents_card summary");
        assert.deepEqual(await violations(page), [], name);
      }
      assert.deepEqual(page.faults, []);
    }
    for (const [width, height] of [[320, 200], [844, 390], [3840, 2160]]) {
      const page = await open(browser, url, { viewport: { width, height } });
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `at ${width}`);
      await page.close();
    }
    return open(browser, url);
  },

  async the_gallery(browser, url) {
    const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
    const index = Object.assign(await context.newPage(), { faults: [] });
    await index.goto(url);
    assert.deepEqual(await violations(index), []);
    assert.ok(await index.evaluate(() => document.documentElement.scrollWidth) <= 390);
    const links = await index.$$eval("a[href*='#drive=']", (all) => all.map((link) => [link.textContent, link.href]));
    assert.ok(links.length > 4);
    const told = { // what the last step shows, by the first word of a link
      To: ["#steering_value", / L$/], In: ["#throttle_value", /^0\.40$/], Straight: ["#throttle_value", /^0\.50$/], Road: ["#apart_value", /cm/],
    };
    for (const [name, [selector, pattern]] of Object.entries(told)) {
      const link = links.find(([title]) => title.startsWith(name))[1];
      const page = await open(browser, link);
      await page.waitForSelector("#images[data-shown]:not([data-shown=''])");
      await slide(page, "#pace", 60);
      await page.waitForFunction(() => {
        const [step, length] = document.querySelector("#moment").textContent.split("/").map(Number);
        return length > 0 && step === length && document.querySelector("#run").textContent === "Drive";
      });
      assert.match(await page.textContent(selector), pattern, name);
      assert.deepEqual(page.faults, []);
      await page.close();
    }
    return index;
  },

  async wrong_numbers_in_one_file(browser, url) {
    const page = await open(browser, url, { warm: true });
    await page.waitForSelector("#checked.bad"); // by itself, and the dream can be driven nevertheless
    await reach(page, 3);
    await page.keyboard.press("Space");
    await page.waitForSelector("#status.bad");
    await page.waitForFunction(() => /wrong/.test(document.querySelector("#status").textContent));
    assert.equal(await page.$eval("#checked", (line) => getComputedStyle(line).color), await page.$eval("#status", (line) => getComputedStyle(line).color));
    await page.evaluate(() => (window.dreamduck.arrays.z[70] = NaN));
    await page.click("#check");
    await page.waitForFunction(() => document.querySelector("#checked").textContent.includes("NaN"));
    assert.equal(await page.getAttribute("#checked", "class"), "bad");
    return page;
  },
};

/** What axe finds wrong on a page as it is now. */
async function violations(page) {
  if (!await page.evaluate(() => "axe" in window)) await page.evaluate(await readFile(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8"));
  return page.evaluate(async () => (await window.axe.run()).violations.map(({ id, nodes }) => [id, nodes[0].html]));
}

const [name, url] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await scenarios[name](browser, url);
  assert.deepEqual(page.faults, []);
} finally {
  await browser.close();
}
process.exit(0);
