// The page's life: views come in, acts go out, times run while somebody looks.
//
// It must not have a rule of its own: what can be done comes with the view, what it means is the
// shell's affair. Read next: api.js for the door, components/page.js for what is seen.

import "./components/page.js";

import { changes } from "./announce.js";
import { api } from "./api.js";
import { copy } from "./clipboard.js";
import { text } from "./dom.js";
import { texts } from "./texts.js";
import { english, reader } from "./time.js";

/** @import { Act, View } from "./bindings/index.ts" */
/** @import { Page } from "./components/page.js" */

/** How often words like "in 3 h" are made anew: as exact as they are. */
const TICK = 30_000;
/** How long a button says that it has copied. */
const SAID = 2_000;

const page = /** @type {Page} */ (document.querySelector("lamp-page"));
const locale = english(navigator.languages);
/** @type {View | null} */
let view = null;

/** @param {View} next */
function see(next) {
  if (view && next.seq <= view.seq) {
    return;
  }
  const before = view;
  view = next;
  show();
  const spoken = changes(before, next, reader(api().now(), locale).phrase);
  if (spoken) {
    page.say(spoken);
  }
  if (!before) {
    // Not from an animation frame: a window that is not shown yet has none.
    void api().act({ act: "ready" });
  }
}

function show() {
  if (view) {
    page.show({ view, reader: reader(api().now(), locale) });
  }
}

/** @param {CustomEvent<Act>} event */
async function act(event) {
  const from = /** @type {HTMLElement} */ (event.target);
  if (from.getAttribute("aria-busy") === "true") {
    return;
  }
  from.setAttribute("aria-busy", "true");
  try {
    const copies = event.detail.act === "copy_link" || event.detail.act === "copy_diagnostics";
    const answer = api().act(event.detail);
    if (copies ? await copy(answer) : (await answer, false)) {
      said(from);
    }
    from.dispatchEvent(new CustomEvent("done"));
  } catch (trouble) {
    page.tell(sentence(trouble), from);
    // A switch that was not taken goes back to what is set.
    show();
  } finally {
    from.removeAttribute("aria-busy");
  }
}

/** @param {CustomEvent<string>} event */
async function words(event) {
  const from = /** @type {HTMLElement} */ (event.target);
  try {
    await copy(event.detail);
    said(from);
  } catch (trouble) {
    page.tell(sentence(trouble), from);
  }
}

/** Lets a button say for a moment that it has copied. @param {HTMLElement} from */
function said(from) {
  if (from.dataset.said) {
    return;
  }
  const [label, name] = [from.textContent ?? "", from.getAttribute("aria-label")];
  from.dataset.said = "yes";
  text(from, texts.copied);
  from.removeAttribute("aria-label");
  setTimeout(() => {
    delete from.dataset.said;
    text(from, label);
    if (name !== null) {
      from.setAttribute("aria-label", name);
    }
  }, SAID);
}

/** @param {unknown} trouble */
function sentence(trouble) {
  if (typeof trouble === "string") {
    return trouble;
  }
  return trouble instanceof Error && trouble.message ? trouble.message : texts.failed;
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let ticking;

function tick() {
  clearInterval(ticking);
  if (!document.hidden) {
    show();
    ticking = setInterval(show, TICK);
  }
}

page.addEventListener("act", (event) => void act(/** @type {CustomEvent<Act>} */ (event)));
page.addEventListener("words", (event) => void words(/** @type {CustomEvent<string>} */ (event)));
document.addEventListener("visibilitychange", tick);
tick();
try {
  await api().subscribe(see);
} catch (trouble) {
  document.documentElement.dataset.state = "alone";
  page.tell(sentence(trouble), page);
}
