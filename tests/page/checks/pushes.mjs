// What a push must leave alone: the focus, what was typed, what was opened, where one had scrolled to;
// and what it must say aloud, once.

import assert from "node:assert/strict";

export async function checks({ check, window }) {
  const { page } = window;

  await check("the focus stays on its button while rows change places around it", async () => {
    await window.open("all-well");
    await page.focus('server-row[data-grant="claude-code/notion"] [data-button="renew"]');
    await watchFocus(page);
    await window.push((view) => view.rows.reverse());
    await window.push((view) => view.rows.splice(0, 1));
    assert.deepEqual((await window.focused()).row, "claude-code/notion");
    assert.deepEqual((await window.focused()).button, "renew");
    assert.equal(await page.evaluate(() => window.lost), 0, "it was never lost, not even for a moment");
  });

  await check("the focus goes with its row to those that need a person, and back", async () => {
    await window.open("all-well");
    await page.focus('server-row[data-grant="claude-code/slack"] .toggle');
    await page.keyboard.press("Enter");
    const need = (view, exit) => {
      const row = view.rows.find((one) => one.name === "slack");
      Object.assign(row, { exit, shape: exit ? "alert" : "lit", health: exit ? "sign_in_required" : "healthy" });
    };
    for (const [exit, group] of [[10, "group urgent"], [0, "group"]]) {
      await window.push(need, exit);
      const { row, toggle } = await window.focused();
      assert.deepEqual([row, toggle], ["claude-code/slack", true]);
      const where = await page.evaluate(() => document.activeElement.closest("section").className);
      assert.equal(where, group);
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-expanded")), "true", "and it stays open");
    }
  });

  await check("when a button goes, the focus stays with its row", async () => {
    await window.open("needs-you");
    await page.keyboard.press("Enter");
    await window.push((view) => {
      Object.assign(view.rows[0], { buttons: [], health: "refreshing", exit: 0, phrase: ["Renewing…"] });
    });
    assert.deepEqual(await window.focused(), {
      tag: "button",
      row: "claude-code/slack",
      name: "Slack",
      button: null,
      toggle: true,
    });
  });

  await check("when a row goes, the focus goes to the page", async () => {
    await window.open("needs-you");
    await window.push((view) => view.rows.shift());
    assert.equal((await window.focused()).tag, "main");
  });

  await check("a push does not take the focus from another page, nor what was typed", async () => {
    await window.open("all-well");
    await window.turn("settings");
    await page.type(".settings input[type=text]", "~/.claude-new");
    await page.keyboard.press("ArrowLeft");
    await window.push((view) => {
      view.sentence = "Slack needs you";
      view.settings.folders = ["~/.claude-work"];
      view.offered = ["~/.claude-third"];
    });
    const field = await page.evaluate(() => {
      const { value, selectionStart, type } = document.activeElement;
      return { value, selectionStart, type };
    });
    assert.deepEqual(field, { value: "~/.claude-new", selectionStart: 12, type: "text" });
  });

  await check("a push leaves one where one had scrolled to", async () => {
    await window.open("all-well");
    await window.openRows();
    await page.$eval("main", (main) => main.scrollTo(0, 700));
    await window.push((view) => (view.sentence = "Another"));
    assert.equal(await page.$eval("main", (main) => main.scrollTop), 700);
  });

  await check("a push that changes nothing touches nothing", async () => {
    await window.open("all-well");
    await window.openRows();
    await page.evaluate(() => {
      window.touched = [];
      new MutationObserver((all) => window.touched.push(...all.map((one) => `${one.type} ${one.attributeName} ${one.target.nodeName}`))).observe(
        document,
        { subtree: true, childList: true, characterData: true, attributes: true },
      );
    });
    await window.push(() => {});
    assert.deepEqual(await page.evaluate(() => window.touched), []);
  });

  await check("an older view is dropped", async () => {
    await window.open("all-well");
    await page.evaluate(() => window.dev.push({ ...window.dev.view, seq: 0, sentence: "Old" }));
    await page.evaluate(() => window.dev.push({ ...window.dev.view, sentence: "Same age" }));
    assert.equal(await page.$eval("header h1", (title) => title.textContent), "All 5 servers are signed in");
  });

  await check("a change of health is said once, and nothing else ever", async () => {
    await window.open("all-well");
    await page.evaluate(() => {
      window.said = [];
      const region = document.querySelector("[aria-live]");
      new MutationObserver(() => window.said.push(region.textContent)).observe(region, {
        subtree: true,
        childList: true,
        characterData: true,
      });
    });
    const said = () => page.evaluate(() => window.said.splice(0));
    assert.equal(await page.$$eval("[aria-live]", (all) => all.length), 1, "there is one live region");
    assert.equal(await page.$eval("[aria-live]", (region) => region.textContent), "", "and it starts silent");
    await window.push((view) => (view.rows[0].phrase = ["Signed in · renews in ", { in: view.now + 60_000 }]));
    assert.deepEqual(await said(), []);
    const end = (view) => Object.assign(view.rows[0], { health: "sign_in_required", phrase: ["Linear ended this sign-in"], shape: "alert", exit: 10 });
    await window.push(end);
    assert.deepEqual(await said(), ["Linear: Linear ended this sign-in"]);
    await window.push(end);
    assert.deepEqual(await said(), []);
    await window.push((view) => Object.assign(view.rows[0], { health: "refreshing", phrase: ["Renewing…"] }));
    await window.push(end);
    assert.deepEqual(await said(), ["Linear: Renewing…", "Linear: Linear ended this sign-in"]);
  });

  await check("a row that is named is opened and brought forward, once", async () => {
    await window.open("all-well");
    await window.turn("activity");
    await window.push((view) => (view.focus = "claude-code/harbour-wiki"));
    const focused = await window.focused();
    assert.equal(focused.row, "claude-code/harbour-wiki");
    assert.equal(await page.$eval('[data-grant="claude-code/harbour-wiki"]', (row) => row.hasAttribute("data-open")), true);
    await window.turn("activity");
    await window.push((view) => (view.sentence = "Another"));
    assert.equal(await page.$eval(".activity", (part) => part.hidden), false, "it is not done again with each push");
  });

  await check("a sign-in is followed through its stages", async () => {
    await window.open("signing-in");
    const stages = () =>
      page.$eval('[data-grant="claude-code/notion"] .stages', (list) =>
        Array.from(list.children, (item) => (item.hasAttribute("data-done") ? "done" : (item.getAttribute("aria-current") ?? "ahead"))),
      );
    assert.deepEqual(await stages(), ["done", "step", "ahead"]);
    await window.push((view) => Object.assign(view.rows[0].sign_in, { waiting: false, step: "saving" }));
    assert.deepEqual(await stages(), ["done", "done", "step"]);
    assert.equal(await page.$eval('[data-grant="claude-code/notion"] .step', (step) => step.textContent), "Saving");
    await window.push((view) => Object.assign(view.rows[0], { sign_in: null, exit: 0, health: "healthy" }));
    assert.equal(await page.$eval('[data-grant="claude-code/notion"] sign-in-progress', (part) => part.hidden), true);
  });
}

/** Counts how often nothing had the focus. */
async function watchFocus(page) {
  await page.evaluate(() => {
    window.lost = 0;
    document.addEventListener("focusout", () => (window.lost += 1));
  });
}
