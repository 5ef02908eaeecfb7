// Every button of every state sends the right act, and only that.
//
// A real click on each, so that nothing may lie over it. A button that this file does not know is a
// failure: there is none that nobody thought of.

import assert from "node:assert/strict";

/** What a row's button sends; null: it only does something on the page, or with the clipboard. */
const OF_ROW = {
  renew: ({ id }) => ({ act: "renew", grant: id }),
  check: ({ id }) => ({ act: "check", grant: id }),
  reconnect: ({ id }) => ({ act: "reconnect", grant: id }),
  sign_in: ({ id }) => ({ act: "reconnect", grant: id }),
  cancel: ({ id }) => ({ act: "cancel_sign_in", grant: id }),
  pause: ({ id }) => ({ act: "pause", grant: id }),
  resume: ({ id }) => ({ act: "resume", grant: id }),
  unlock: ({ store }) => ({ act: "unlock", store }),
  show_file: ({ store }) => ({ act: "show_file", store }),
  review: () => null,
  copy_update: () => null,
  sign_out: () => null,
};

/** What the other buttons in a row send, by what they say. */
const IN_ROW = [
  [/^Copy diagnostics$/, (grant) => ({ act: "copy_diagnostics", grant })],
  [/^Copy link$/, (grant) => ({ act: "copy_link", grant })],
  [/Try another way$/, (grant) => ({ act: "another_way", grant })],
  [/^Trust (?<host>.*)$/, (grant, said) => ({ act: "trust", grant, now: said.host })],
  [/^Don't trust$/, () => null],
  [/^Sign out$/, (grant) => ({ act: "sign_out", grant })],
  [/^Stay signed in$/, () => null],
];

/** What the buttons outside rows send, by what they are called. */
const ELSEWHERE = [
  [/^Check all$/, { act: "check_all" }],
  [/^Pause all$/, { act: "pause_all" }],
  [/^Resume all$/, { act: "resume_all" }],
  [/^Leave the demo$/, { act: "leave_demo" }],
  [/^Try the demo$/, { act: "demo" }],
  [/^Keep them signed in$/, { act: "consent", answer: "keep" }],
  [/^Only watch$/, { act: "consent", answer: "watch" }],
  [/^Open settings file$/, { act: "open_settings_file" }],
  [/^Quit$/, { act: "quit" }],
  [/^Remove Lamplighter…$/, null],
  [/^Keep Lamplighter$/, null],
  [/^Remove$/, { act: "remove_lamplighter" }],
  [/^Copy: /, null],
  // The field is empty: the shell is not bothered.
  [/^Add folder$/, null],
  [/^Add folder (?<folder>[~/].*)$/, { act: "add_folder" }],
  [/^Remove (?<folder>[~/].*)$/, { act: "remove_folder" }],
  [/^Show file: (?<place>.*)$/, { act: "show_file" }],
];

export async function checks({ check, window }) {
  const { page } = window;
  await window.open("all-well");
  const states = (await page.evaluate(() => window.dev.names)).filter((state) => state !== "loading");

  for (const state of states) {
    await check(`every button of ${state}`, async () => {
      await window.open(state);
      await window.openRows();
      const view = await page.evaluate(() => window.dev.view);
      await everyOffer(window, view);
      for (const name of ["servers", "activity", "settings"]) {
        await window.turn(name);
        await window.sent();
        for (const button of await page.$$("main button:not(.toggle)")) {
          await one(window, button, view);
        }
      }
    });
  }

  await check("the first act is that the page is ready, once", async () => {
    await window.open("all-well");
    await window.push((view) => (view.sentence = "Another"));
    assert.deepEqual(await window.sent(), [{ act: "ready" }]);
  });

  await check("the switches send what was chosen and show what is set", async () => {
    await window.open("all-well");
    await window.turn("settings");
    await window.sent();
    const expected = [
      ["Start at login", "start_at_login", false],
      ["Notices", "notices", false],
      ["Ask servers by itself", "probe", false],
      ["Keep this window open", "pin", true],
    ];
    for (const [label, act, on] of expected) {
      await page.click(`::-p-aria([name="${label}"][role="switch"])`);
      assert.deepEqual(await window.sent(), [{ act, on }], label);
    }
    await window.push((view) => (view.settings.notices = true));
    const set = await page.$eval('::-p-aria([name="Notices"][role="switch"])', (input) => input.checked);
    assert.equal(set, true, "the view says what is set");
    await page.click('::-p-aria([name="Only watch"][role="radio"])');
    assert.deepEqual(await window.sent(), [{ act: "consent", answer: "watch" }]);
  });

  await check("a double click is one click, whatever the first one put in its place", async () => {
    await window.open("needs-you");
    await window.sent();
    const row = 'server-row[data-grant="claude-code/slack"]';
    await page.click(`${row} [data-button=reconnect]`, { count: 2 });
    assert.deepEqual(await window.sent(), [{ act: "reconnect", grant: "claude-code/slack" }]);
  });

  await check("signing out asks first, the safe answer has the focus, and Esc takes it", async () => {
    await window.open("all-well");
    await window.openRows();
    const row = 'server-row[data-grant="claude-code/slack"]';
    await window.sent();
    await page.click(`${row} [data-button=sign_out]`);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Stay signed in");
    assert.deepEqual(await window.sent(), []);
    await page.keyboard.press("Escape");
    assert.equal(await page.$eval(`${row} .sure`, (part) => part.hidden), true);
    assert.equal(await page.evaluate(() => document.activeElement.dataset.button), "sign_out");
    await page.click(`${row} [data-button=sign_out]`);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.deepEqual(await window.sent(), [{ act: "sign_out", grant: "claude-code/slack" }]);
    await window.push((view) => view.rows.forEach((shown) => Object.assign(shown, { health: "not_signed_in", buttons: ["sign_in"] })));
    assert.equal(await page.$eval(`${row} .sure`, (part) => part.hidden), true, "there is nothing left to ask");
  });

  await check("in the demo nothing can be set or removed that is the person's", async () => {
    await window.open("demo");
    await window.turn("settings");
    const offered = async () =>
      page.$$eval(".settings :is(button, input)", (parts) =>
        parts.filter((part) => part.checkVisibility()).map((part) => part.textContent || part.labels?.[0]?.textContent),
      );
    assert.deepEqual(await offered(), ["Keep this window open", "Show file", "Quit"]);
    await window.push((view) => Object.assign(view, { rows: [], offered: ["~/.claude-work"] }));
    await window.turn("servers");
    assert.equal(await page.$eval(".nothing .folders", (part) => part.checkVisibility()), false);
    await window.push((view) => (view.demo = false));
    await window.turn("settings");
    assert.equal((await offered()).includes("Remove Lamplighter…"), true);
  });

  await check("a switch that can't be set says why and can't be pressed", async () => {
    await window.open("watching");
    await window.push((view) => (view.turn_to_settings = true));
    const login = '::-p-aria([name="Start at login"][role="switch"])';
    assert.equal(await page.$eval(login, (input) => input.disabled), true);
    const about = await page.$eval(login, (input) => document.getElementById(input.getAttribute("aria-describedby")).textContent);
    assert.match(about, /Not possible/);
  });

  await check("the pin sends the other of what is", async () => {
    for (const [state, on] of [["all-well", true], ["signing-in", false]]) {
      await window.open(state);
      await window.sent();
      await page.click(".pin");
      assert.deepEqual(await window.sent(), [{ act: "pin", on }]);
    }
  });

  await check("a folder that was typed is sent, and stays in the field if it is refused", async () => {
    await window.open("nothing-found");
    await window.sent();
    await page.evaluate(() => {
      window.dev.answer = () => {
        throw "There is no such folder.";
      };
    });
    await page.type(".nothing input", "  ~/.claude-other ");
    await page.keyboard.press("Enter");
    assert.deepEqual(await window.sent(), [{ act: "add_folder", folder: "~/.claude-other" }]);
    assert.equal((await window.focused()).name, "There is no such folder.");
    assert.equal(await page.$eval(".nothing input", (input) => input.value.trim()), "~/.claude-other");
    await page.evaluate(() => (window.dev.answer = () => null));
    await page.click(".nothing form button");
    await window.sent();
    assert.equal(await page.$eval(".nothing input", (input) => input.value), "");
  });

  await check("what is copied is what the shell answered, and the button says so for a moment", async () => {
    await window.open("signing-in");
    await page.bringToFront();
    const [link] = await page.$$("::-p-text(Copy link)");
    await link.click();
    await page.waitForFunction((button) => button.textContent === "Copied", {}, link);
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "copy_link of claude-code/notion");
    await page.waitForFunction((button) => button.textContent === "Copy link", {}, link);
  });

  await check("the commands are copied without asking the shell", async () => {
    for (const [state, button, command] of [
      ["signed-in", ".command button", "/mcp reconnect notion"],
      ["standing-by", '[data-button="copy_update"]', "claude update"],
    ]) {
      await window.open(state);
      await window.sent();
      await page.bringToFront();
      await page.click(button);
      await page.waitForFunction((name) => document.querySelector(name).textContent === "Copied", {}, button);
      assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
      assert.deepEqual(await window.sent(), []);
    }
  });

  await check("a clipboard that can't be reached is told of", async () => {
    await window.open("signed-in");
    await page.evaluate(() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined });
      document.execCommand = () => false;
    });
    await page.click(".command button");
    await page.waitForSelector(".trouble");
    assert.match((await window.focused()).name, /clipboard/);
  });

  await check("an engine without the new clipboard copies the old way", async () => {
    await window.open("signing-in");
    await page.evaluate(() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined });
      document.addEventListener("copy", () => (window.copied = document.activeElement.value));
    });
    await page.click("::-p-text(Copy link)");
    await page.waitForFunction(() => window.copied);
    assert.equal(await page.evaluate(() => window.copied), "copy_link of claude-code/notion");
    assert.equal(await page.$("textarea"), null);
  });

  await check("an act that fails says so, and Dismiss gives the focus back", async () => {
    await window.open("all-well");
    await page.evaluate(() => {
      window.dev.answer = () => {
        throw "Slack can't be asked while it is being renewed.";
      };
    });
    const renew = 'server-row[data-grant="claude-code/slack"] [data-button="renew"]';
    await page.click(renew);
    await page.waitForSelector(".trouble:not([hidden])");
    assert.equal((await window.focused()).name, "Slack can't be asked while it is being renewed.");
    await page.click(".trouble button");
    assert.equal((await window.focused()).button, "renew");
    assert.equal(await page.$eval(".trouble", (card) => card.hidden), true);
  });

  await check("a second press while the first is under way sends nothing", async () => {
    await window.open("all-well");
    await window.sent();
    await page.evaluate(() => {
      window.dev.answer = () => new Promise((done) => (window.answer = done));
    });
    const renew = 'server-row[data-grant="claude-code/slack"] [data-button="renew"]';
    await page.click(renew);
    await page.click(renew);
    assert.deepEqual(await window.sent(), [{ act: "renew", grant: "claude-code/slack" }]);
    await page.evaluate(() => window.answer(null));
    await page.waitForSelector(`${renew}:not([aria-busy])`);
    await page.click(renew);
    assert.equal((await window.sent()).length, 1);
  });
}

/** Everything that the shell offers is there, in its order, and nothing more. */
async function everyOffer(window, view) {
  const shown = await window.page.$$eval("server-row", (rows) =>
    rows.map((row) => [row.dataset.grant, Array.from(row.querySelectorAll("[data-button]"), (button) => button.dataset.button)]),
  );
  assert.deepEqual(new Map(shown), new Map(view.rows.map((row) => [row.id, row.buttons])));
}

/** Presses one button and looks at what was sent. */
async function one(window, button, view) {
  const about = await button.evaluate((element) => ({
    shown: element.getClientRects().length > 0,
    grant: element.closest("server-row")?.dataset.grant ?? null,
    offer: element.dataset.button ?? null,
    name: element.getAttribute("aria-label") ?? element.textContent,
  }));
  if (!about.shown) {
    return;
  }
  const expected = expectation(about, view);
  await button.click();
  assert.deepEqual(await window.sent(), expected === null ? [] : [expected], `${about.name} in ${about.grant}`);
}

function expectation({ grant, offer, name }, view) {
  if (offer) {
    return OF_ROW[offer](view.rows.find((row) => row.id === grant));
  }
  if (grant) {
    const known = IN_ROW.find(([pattern]) => pattern.test(name));
    assert.ok(known, `nobody thought of the button “${name}”`);
    return known[1](grant, known[0].exec(name).groups);
  }
  const known = ELSEWHERE.find(([pattern]) => pattern.test(name));
  assert.ok(known, `nobody thought of the button “${name}”`);
  const { folder, place } = known[0].exec(name).groups ?? {};
  const store = view.stores.find((one) => one.place === place)?.id;
  return known[1] && { ...known[1], ...(folder && { folder }), ...(place && { store }) };
}
