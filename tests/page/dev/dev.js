// Plays a fixture in a plain browser: puts a fake behind the page's door, then lets the page begin.
//
// It must not change what the page does. Acts are only written down (`window.dev.acts`), so that a
// test can ask what was sent; `window.dev.push` sends another view. Read next: fixtures/index.js.

import { setInstance } from "../../../ui/api.js";
import { fixtures } from "./fixtures/index.js";
import { NOW } from "./fixtures/town.js";

/** @import { Act, View } from "../../../ui/bindings/index.ts" */

const asked = new URLSearchParams(location.search);
const state = asked.get("state") ?? "all-well";
const view = fixtures[state];

/** @type {(view: View) => void} */
let see = () => {};

const dev = {
  names: Object.keys(fixtures),
  view,
  /** Every act that was sent. @type {Act[]} */
  acts: [],
  /** What the clock says. */
  now: NOW,
  /** What the next acts are answered with. @type {(act: Act) => string | null} */
  answer: (/** @type {Act} */ act) => (act.act.startsWith("copy_") ? `${act.act} of ${"grant" in act ? act.grant : ""}` : null),
  /** @param {View} next */
  push: (next) => see(next),
};
Object.assign(window, { dev });

setInstance({
  async subscribe(to) {
    see = to;
    if (view) {
      see(view);
    } else if (view === undefined) {
      throw `There is no state “${state}”. There are: ${dev.names.join(", ")}.`;
    }
  },
  async act(act) {
    dev.acts.push(act);
    return dev.answer(act);
  },
  now: () => dev.now,
});

/** Makes the rules for one theme count, or not, whatever the system asks for. @param {string} theme */
function wear(theme) {
  const media = Array.from(document.styleSheets)
    .flatMap((sheet) => Array.from(sheet.cssRules))
    .filter((rule) => rule instanceof CSSMediaRule);
  for (const rule of media) {
    const asks = rule.media.mediaText;
    if (asks.includes("prefers-color-scheme") || asks.includes("prefers-contrast")) {
      const dark = !asks.includes("prefers-color-scheme") || theme.includes("dark");
      const contrast = !asks.includes("prefers-contrast") || theme.includes("contrast");
      rule.media.mediaText = dark && contrast ? "all" : "not all";
    }
  }
  document.documentElement.style.setProperty("color-scheme", theme.includes("dark") ? "dark" : "light");
}

const theme = asked.get("theme");
if (theme) {
  wear(theme);
}

await import("../../../ui/app.js");
