// Every state in every theme: nothing for axe to say, nothing on the console, nothing against the
// policy, nothing that scrolls sideways; and a picture of each.

import assert from "node:assert/strict";
import { join } from "node:path";

import { SIZE, THEMES } from "../browser.mjs";

/** Half the size in twice the pixels is what 200 % makes of a window. */
const ZOOMED = { size: { width: SIZE.width / 2, height: SIZE.height / 2 }, scale: 2 };

/** Where every row is looked at opened as well. */
const OPENED = ["light", "dark", "contrast", "forced"];

export async function checks({ check, window, pictures }) {
  const { page } = window;
  await window.open("all-well");
  const states = await page.evaluate(() => window.dev.names);
  /** @param {string} name */
  const picture = async (name) => {
    if (pictures) {
      await page.mouse.move(1, 1);
      await page.screenshot({ path: join(pictures, `${name}.png`) });
    }
  };
  const clean = async () => assert.deepEqual(await window.faults(), []);

  for (const state of states) {
    for (const theme of Object.keys(THEMES)) {
      await check(`${state} in ${theme}`, async () => {
        await window.open(state, theme, { scale: 2 });
        // What comes late has come.
        await page.evaluate(() => Promise.all(document.getAnimations().map((one) => one.finished)));
        await clean();
        await picture(`${state}-${theme}`);
        if (state !== "loading" && OPENED.includes(theme)) {
          await window.openRows();
          await clean();
        }
      });
    }
    await check(`${state} at 200 %`, async () => {
      await window.open(state, "light", ZOOMED);
      await clean();
      await picture(`${state}-zoomed`);
      if (state !== "loading") {
        await window.openRows();
        await clean();
        for (const name of ["activity", "settings"]) {
          await window.turn(name);
          await clean();
        }
      }
    });
  }

  for (const theme of Object.keys(THEMES)) {
    for (const [state, name] of [["all-well", "activity"], ["watching", "settings"], ["nothing-found", "activity"]]) {
      await check(`the ${name} of ${state} in ${theme}`, async () => {
        await window.open(state, theme, { scale: 2 });
        await window.turn(name);
        await clean();
        await picture(`${name}-${state}-${theme}`);
      });
    }
    await check(`an opened row in ${theme}`, async () => {
      await window.open("all-well", theme, { scale: 2 });
      await page.click('server-row[data-grant="claude-code/slack"] .toggle');
      await page.$eval("server-row[data-open] server-details", (details) => details.scrollIntoView({ block: "end" }));
      await clean();
      await picture(`opened-${theme}`);
    });
    await check(`both hosts in ${theme}`, async () => {
      await window.open("approval", theme, { scale: 2 });
      await page.click('[data-button="review"]');
      await clean();
      await picture(`review-${theme}`);
    });
    await check(`the question before removing in ${theme}`, async () => {
      await window.open("all-well", theme, { scale: 2 });
      await window.turn("settings");
      await page.click("button[aria-expanded=false].quiet");
      await clean();
      await picture(`remove-${theme}`);
    });
  }

  await check("a wide window keeps its lines short", async () => {
    await window.open("all-well", "light", { size: { width: 1_200, height: 800 } });
    await clean();
    await picture("wide-light");
    const width = await page.$eval(".rows", (rows) => rows.getBoundingClientRect().width);
    assert.ok(width <= 608, `${width}`);
  });

  await check("nothing moves for who wants no motion", async () => {
    await window.open("all-well", "light", { reduced: true });
    await page.click(".toggle");
    const moving = await page.evaluate(() => [
      document.getAnimations().length,
      getComputedStyle(document.querySelector(".chevron")).transitionDuration,
    ]);
    assert.deepEqual(moving, [0, "0s"]);
  });

  await check("the four lamps differ in one colour", async () => {
    await window.open("all-well", "forced");
    const drawn = await page.evaluate(() =>
      ["lit", "half", "alert", "hollow"].map((name) =>
        Array.from(document.querySelectorAll(`#draw-${name} path`), (path) => path.getAttribute("d") + path.getAttribute("fill")).join(),
      ),
    );
    assert.equal(new Set(drawn).size, 4);
    assert.ok(drawn.every((paths) => paths.includes("currentColor")));
  });
}
