// Time that runs, names that are hostile, a shell that is not there.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

export async function checks({ check, window }) {
  const { page } = window;
  const phrase = () => page.$eval('[data-grant="claude-code/slack"] .phrase', (words) => words.textContent);

  await check("times run while somebody looks, by one interval of thirty seconds, and rest when nobody does", async () => {
    const id = await page.evaluateOnNewDocument(() => {
      window.ticking = new Map();
      const { setInterval: set, clearInterval: clear } = window;
      window.setInterval = (run, every) => {
        const name = set(() => {}, 1e9);
        window.ticking.set(name, { run, every });
        return name;
      };
      window.clearInterval = (name) => {
        window.ticking.delete(name);
        clear(name);
      };
    });
    await window.open("all-well");
    await page.removeScriptToEvaluateOnNewDocument(id.identifier);
    const every = () => page.evaluate(() => Array.from(window.ticking.values(), (one) => one.every));
    assert.deepEqual(await every(), [30_000]);
    assert.equal(await phrase(), "Signed in · renews in 3\u00a0h");
    await page.evaluate(() => {
      window.dev.now += 2 * 3_600_000;
      for (const { run } of window.ticking.values()) {
        run();
      }
    });
    assert.equal(await phrase(), "Signed in · renews in 72\u00a0min");

    const look = (hidden) =>
      page.evaluate((value) => {
        Object.defineProperty(document, "hidden", { value, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await look(true);
    assert.deepEqual(await every(), []);
    await page.evaluate(() => (window.dev.now += 3_600_000));
    assert.equal(await phrase(), "Signed in · renews in 72\u00a0min");
    await look(false);
    assert.deepEqual(await every(), [30_000]);
    assert.equal(await phrase(), "Signed in · renews in 12\u00a0min", "what is shown again is true at once");
  });

  await check("the bar says in words what it shows", async () => {
    await window.open("all-well");
    const bar = (name) => page.$eval(`[data-grant="claude-code/${name}"] life-bar svg`, (svg) => svg.getAttribute("aria-label"));
    assert.equal(await bar("slack"), "Token: 5\u00a0h of 12\u00a0h left. Renewal comes at 12:54.");
    assert.match(await bar("linear"), /The sign-in itself ends at Thu 17:42\.$/);
    const drawn = await page.$eval('[data-grant="claude-code/slack"] life-bar', (part) => [
      part.querySelector(".passed").getAttribute("width"),
      part.querySelector(".renewal").getAttribute("x"),
      part.querySelector(".ends").getAttribute("display"),
    ]);
    assert.deepEqual(drawn, ["533", "796", "none"]);
  });

  await check("a hint goes when its hour is over", async () => {
    await window.open("signed-in");
    assert.equal(await page.$$eval(".hint", (all) => all.length), 1);
    await page.evaluate(() => {
      window.dev.now += 3_600_001;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    assert.equal(await page.$$eval(".hint", (all) => all.length), 0);
  });

  await check("whatever servers call themselves is text", async () => {
    await window.open("needs-you");
    const evil = '<img src=x onerror="window.bitten = true"><script>window.bitten = true</script>';
    await window.push((view, words) => {
      for (const row of view.rows) {
        Object.assign(row, { title: words, url: words, reason: words, account: words, issuer: words, scopes: [words], phrase: [words] });
        row.sign_in = { step: words, client_name: words, host: words, waiting: true, scheme: true, other_way: true };
        row.approval = { known: words, now: words };
        view.past[row.id] = [{ at: view.now, what: "renewed", by: "client", words }];
      }
      view.activity = [{ at: view.now, grant: null, words }];
      view.hints = [{ grant: view.rows[0].id, words, command: words, until: view.now + 1 }];
      Object.assign(view, { sentence: words, notes: [words], elsewhere: words, offered: [words], looked: [words] });
      view.settings.folders = [words];
    }, evil);
    await window.openRows();
    assert.equal(await page.$("img, main script"), null);
    assert.equal(await page.evaluate(() => window.bitten), undefined);
    assert.equal(await page.$eval("header h1", (title) => title.textContent), evil);
    assert.deepEqual(await window.faults(), []);
  });

  await check("very long names break and push nothing aside", async () => {
    await window.open("needs-you");
    await window.push((view) => {
      const long = "harbour".repeat(30);
      view.sentence = long;
      view.rows.forEach((row) => Object.assign(row, { title: long, url: `https://${long}`, phrase: [long] }));
    });
    await window.openRows();
    assert.deepEqual(await window.faults(), []);
  });

  await check("sixty servers are shown at once, and a push to them is quick", async () => {
    await window.open("all-well");
    await window.push((view) => {
      const [first] = view.rows;
      view.rows = Array.from({ length: 60 }, (_nothing, index) => ({ ...first, id: `claude-code/s${index}`, title: `Server ${index}` }));
    });
    assert.equal(await page.$$eval("server-row", (all) => all.length), 60);
    const took = await page.evaluate(() => {
      const next = { ...structuredClone(window.dev.view), seq: window.dev.view.seq + 1 };
      const from = performance.now();
      window.dev.push(next);
      return performance.now() - from;
    });
    assert.ok(took < 200, `${took} ms`);
  });

  await check("a view can ask for the settings, and the same view does not ask twice", async () => {
    await window.open("all-well");
    await window.push((view) => (view.turn_to_settings = true));
    await page.waitForSelector(".settings:not([hidden])");
    await page.click(".way[data-page=servers]");
    // The clock ticks: the page shows the same view again.
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    assert.equal(await page.$eval(".settings", (part) => part.hidden), true);
    await window.push((view) => (view.turn_to_settings = true));
    await page.waitForSelector(".settings:not([hidden])");
  });

  await check("a row that a link asks for is brought forward, and the focus stays where it is", async () => {
    await window.open("all-well");
    const asked = (view) => (view.linked = "claude-code/notion");
    const row = 'server-row[data-grant="claude-code/notion"]';
    await page.focus(".way[data-page=activity]");
    const before = await window.focused();
    await window.push(asked);
    await page.waitForSelector(`${row}[data-open]`);
    assert.deepEqual(await window.focused(), before);
    // Nobody is taken away from what they read.
    await page.click(".way[data-page=settings]");
    await window.push(asked);
    assert.equal(await page.$eval(".settings", (part) => part.hidden), false);
  });

  await check("a link that raises the window takes the focus off its buttons, whichever comes first", async () => {
    const asked = (view) => (view.linked = "claude-code/notion");
    await window.open("all-well");
    for (const raised of [false, true]) {
      await page.focus(".way[data-page=activity]");
      await page.evaluate((has) => {
        document.hasFocus = () => has;
        window.dispatchEvent(new Event(has ? "focus" : "blur"));
      }, raised);
      await window.push(asked);
      assert.equal(await page.evaluate(() => document.activeElement.localName), "main", `raised before: ${raised}`);
    }
  });

  await check("a row that is asked for twice in a row is brought forward twice", async () => {
    await window.open("all-well");
    const asked = (view) => (view.focus = "claude-code/notion");
    const row = 'server-row[data-grant="claude-code/notion"]';
    await window.push(asked);
    await page.waitForSelector(`${row}[data-open]`);
    await page.click(`${row} .toggle`);
    assert.equal(await page.$(`${row}[data-open]`), null);
    await window.push(asked);
    await page.waitForSelector(`${row}[data-open]`);
  });

  await check("nothing is half there before the first view", async () => {
    await window.open("loading");
    const shown = await page.$$eval("lamp-page :is(h1, h2, p, button)", (parts) =>
      parts.filter((part) => part.getClientRects().length > 0 && !part.matches(".unseen")).map((part) => part.textContent),
    );
    assert.deepEqual(shown, ["Looking…"]);
    assert.deepEqual(await window.sent(), [], "and nothing is ready");
  });

  await check("the page for development is the shell's own, but for its script", async () => {
    const parts = async (path) => {
      const markup = await readFile(new URL(`../../..${path}`, import.meta.url), "utf8");
      const compare = (from, written) => {
        const parsed = new DOMParser().parseFromString(written, "text/html");
        const base = new URL(from, location.origin);
        const sheets = Array.from(parsed.querySelectorAll("link"), (link) => new URL(link.getAttribute("href"), base).pathname);
        return { sheets, body: parsed.body.innerHTML.trim(), state: parsed.documentElement.dataset.state };
      };
      return page.evaluate(compare, path, markup);
    };
    await window.open("all-well");
    assert.deepEqual(await parts("/ui/index.html"), await parts("/tests/page/dev/index.html"));
  });

  await check("the shell's own page says where it belongs when there is no shell", async () => {
    await page.goto(`${window.origin}/ui/index.html`);
    await page.waitForSelector(".trouble:not([hidden])");
    assert.match((await window.focused()).name, /Open this page from Lamplighter/);
  });

  await check("the shell's commands are called by their names", async () => {
    const id = await page.evaluateOnNewDocument(() => {
      window.called = [];
      class Channel {}
      window.__TAURI__ = {
        core: {
          Channel,
          async invoke(command, args) {
            window.called.push([command, args.channel instanceof Channel ? "a channel" : args]);
            window.channel ??= args.channel;
            return null;
          },
        },
      };
    });
    await page.goto(`${window.origin}/ui/index.html`);
    await page.waitForFunction(() => window.channel);
    await page.evaluate(async () => {
      const { default: view } = await import("/tests/page/dev/fixtures/needs-you.js");
      window.channel.onmessage(view);
    });
    await page.click('[data-button="reconnect"]');
    await page.removeScriptToEvaluateOnNewDocument(id.identifier);
    assert.deepEqual(await page.evaluate(() => window.called), [
      ["subscribe", "a channel"],
      ["act", { act: { act: "ready" } }],
      ["act", { act: { act: "reconnect", grant: "claude-code/slack" } }],
    ]);
  });
}
