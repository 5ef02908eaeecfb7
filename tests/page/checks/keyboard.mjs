// Everything by keyboard alone: where one begins, that everything is reached, and the way out.

import assert from "node:assert/strict";

export async function checks({ check, window }) {
  const { page } = window;
  await window.open("all-well");
  const states = (await page.evaluate(() => window.dev.names)).filter((state) => state !== "loading");

  for (const state of states) {
    await check(`Tab reaches everything in ${state}, and every stop is seen`, async () => {
      await window.open(state);
      await window.openRows();
      await reached(page);
    });
  }

  for (const state of ["all-well", "watching", "store-broken"]) {
    for (const name of ["activity", "settings"]) {
      await check(`Tab reaches everything in the ${name} of ${state}, and every stop is seen`, async () => {
        await window.open(state);
        await window.turn(name);
        await reached(page);
      });
    }
  }

  for (const [state, expected] of [
    ["needs-you", { row: "claude-code/slack", button: "reconnect" }],
    ["approval", { row: "claude-code/linear", button: "review" }],
    ["store-locked", { row: "claude-code/notion", button: "unlock" }],
    ["signing-in", { row: "claude-code/notion", toggle: true }],
    ["signed-in", { tag: "button", name: "Copy: /mcp reconnect notion" }],
    ["all-well", { tag: "main" }],
    ["nothing-found", { tag: "main" }],
    ["first-run", { tag: "h2" }],
  ]) {
    await check(`${state} begins where a person is needed`, async () => {
      await window.open(state);
      const focused = await window.focused();
      assert.deepEqual({ ...focused, ...expected }, focused);
    });
  }

  await check("the question of the first run is not answered by Enter alone", async () => {
    await window.open("first-run");
    await window.sent();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Space");
    assert.deepEqual(await window.sent(), []);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.deepEqual(await window.sent(), [{ act: "consent", answer: "keep" }]);
  });

  await check("arrow keys walk from row to row, and stop at both ends", async () => {
    await window.open("needs-you");
    const rows = await page.$$eval("server-row", (all) => all.map((row) => row.dataset.grant));
    const walked = [];
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "Home", "ArrowUp", "End", "ArrowUp"]) {
      await page.keyboard.press(key);
      const { row, toggle } = await window.focused();
      assert.equal(toggle, true);
      walked.push(rows.indexOf(row));
    }
    assert.deepEqual(walked, [1, 2, 3, 3, 0, 0, 3, 2]);
  });

  await check("an arrow goes from the page into the list", async () => {
    await window.open("all-well");
    await page.keyboard.press("ArrowDown");
    assert.deepEqual((await window.focused()).row, "claude-code/linear");
  });

  await check("Enter opens a row and closes it again", async () => {
    await window.open("all-well");
    await page.keyboard.press("ArrowDown");
    for (const open of ["true", "false"]) {
      await page.keyboard.press("Enter");
      assert.equal(await page.$eval("server-row .toggle", (toggle) => toggle.getAttribute("aria-expanded")), open);
      assert.equal(await page.$eval("server-row server-details", (details) => details.hidden), open === "false");
    }
  });

  await check("what happened can be scrolled by keys alone", async () => {
    await window.open("all-well", "light", { size: { width: 400, height: 420 } });
    await page.focus('nav [data-page="activity"]');
    await page.keyboard.press("Enter");
    await page.focus("header .pin");
    await page.keyboard.press("Tab");
    assert.equal((await window.focused()).tag, "main");
    await page.keyboard.press("End");
    await page.waitForFunction(() => document.querySelector("main").scrollTop > 0);
  });

  await check("Esc closes, from wherever one is", async () => {
    for (const name of ["servers", "activity", "settings"]) {
      await window.open("all-well");
      await window.turn(name);
      await window.sent();
      await page.keyboard.press("Escape");
      assert.deepEqual(await window.sent(), [{ act: "close" }]);
    }
  });

  await check("Esc puts both hosts away first, with nothing trusted", async () => {
    await window.open("approval");
    await window.sent();
    await page.keyboard.press("Enter");
    assert.equal((await window.focused()).name, "Don't trust");
    await page.keyboard.press("Escape");
    assert.deepEqual(await window.sent(), []);
    assert.equal((await window.focused()).button, "review");
    await page.keyboard.press("Escape");
    assert.deepEqual(await window.sent(), [{ act: "close" }]);
  });

  await check("removing asks once more, the safe answer first, and Esc is no", async () => {
    await window.open("all-well");
    await window.turn("settings");
    await window.sent();
    await page.focus("button.quiet[aria-expanded=false]");
    await page.keyboard.press("Enter");
    assert.equal((await window.focused()).name, "Keep Lamplighter");
    await page.keyboard.press("Escape");
    assert.equal((await window.focused()).name, "Remove Lamplighter…");
    assert.deepEqual(await window.sent(), []);
  });

  await check("the strip is walked along and says what is there", async () => {
    await window.open("all-well");
    await page.click('server-row[data-grant="claude-code/slack"] .toggle');
    await page.focus("server-row[data-open] [role=slider]");
    const told = async () =>
      page.$eval("server-row[data-open] past-strip", (strip) => {
        const slider = strip.querySelector("[role=slider]");
        return [slider.getAttribute("aria-valuenow"), slider.getAttribute("aria-valuetext"), strip.querySelector(".told:not([hidden])").textContent];
      });
    assert.deepEqual(await told(), ["30", "3:18: Renewed by Lamplighter, 30 of 30", "3:18 · Renewed by Lamplighter"]);
    await page.keyboard.press("Home");
    for (let step = 0; step < 4; step += 1) {
      await page.keyboard.press("ArrowRight");
    }
    const [place, words, line] = await told();
    assert.equal(place, "5");
    assert.match(words, /Slack didn't answer, 5 of 30$/);
    assert.match(line, /Slack didn't answer$/);
    await page.keyboard.press("ArrowUp");
    assert.equal((await told())[0], "5", "up and down are the list's");
  });

  await check("keys in the folder's field are the field's", async () => {
    await window.open("nothing-found");
    await page.focus(".nothing input");
    await page.keyboard.type("~/a");
    await page.keyboard.press("Home");
    await page.keyboard.type("x");
    assert.equal(await page.$eval(".nothing input", (input) => input.value), "x~/a");
  });
}

/** Tabs once around and compares with everything that can be focused. */
async function reached(page) {
  const count = await page.evaluate(() => {
    window.stops = Array.from(document.querySelectorAll("button, input, [tabindex='0']")).filter(
      (element) => element.getClientRects().length > 0 && !element.disabled,
    );
    window.reached = new Set();
    window.unseen = [];
    document.addEventListener("focusin", ({ target }) => {
      window.reached.add(target);
      // A row's ring is drawn around all that opens it.
      const rings = [getComputedStyle(target), getComputedStyle(target, "::after")];
      const seen = rings.some((ring) => ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 2);
      if (window.stops.includes(target) && !seen) {
        window.unseen.push(target.outerHTML.slice(0, 90));
      }
    });
    document.activeElement?.blur();
    return window.stops.length;
  });
  // Chromium keeps one stop for its own frame, and of a group of radio buttons it visits one.
  for (let step = 0; step < count + 2; step += 1) {
    await page.keyboard.press("Tab");
  }
  const told = await page.evaluate(() => ({
    missed: window.stops.filter((one) => !window.reached.has(one) && one.type !== "radio").map((one) => one.outerHTML.slice(0, 90)),
    unseen: window.unseen,
  }));
  assert.deepEqual(told, { missed: [], unseen: [] });
}
