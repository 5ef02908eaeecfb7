// The page: the sentence that matters, one of three pages, and the way between them.
//
// It must not know where views come from or where acts go: `app.js` gives it the one and hears the
// other. Whatever a push changes, whoever has the focus keeps it. Read next: servers.js.

import { attribute, button, h, hide, send, text, visible } from "../dom.js";
import { texts } from "../texts.js";
import { activity } from "./activity.js";
import { trouble } from "./cards.js";
import { drawing, lamp, symbols } from "./lamp.js";
import { serverList } from "./servers.js";
import { settings } from "./settings.js";

/** @import { View } from "../bindings/index.ts" */
/** @import { Reader } from "../time.js" */
/**
 * A view and who reads it.
 * @typedef {{ view: View, reader: Reader }} Shown
 */
/** @typedef {"servers" | "activity" | "settings"} Name */

/** Who has come to the window within this time, in milliseconds, is not at work in it. */
const JUST_CAME = 1_000;

/** @type {Name[]} */
const PAGES = ["servers", "activity", "settings"];

class LampPage extends HTMLElement {
  /** @type {Shown | null} */
  #shown = null;
  /** @type {Name} */
  #page = "servers";
  /** The view that was followed last: each asks to turn somewhere once, however often it is shown. */
  #followed = 0;
  /** When the window was given the focus last, by `performance.now()`. */
  #came = -JUST_CAME;
  #lamp = lamp();
  #sentence = h("h1", {});
  #next = h("p", { class: "next" });
  #pin = h("button", { type: "button", class: "pin", "aria-label": texts.keepOpen, title: texts.keepOpen }, drawing("pin"));
  #trouble = trouble();
  #servers = serverList();
  #activity = activity();
  #settings = settings();
  #main = h("main", { tabindex: "-1" });
  #loading = h("h1", { class: "loading" }, texts.loading);
  #spoken = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
  #ways = PAGES.map((name) => ({ name, way: this.#way(name) }));

  constructor() {
    super();
    this.#pin.addEventListener("click", () => {
      const on = !this.#shown?.view.pinned;
      send(this.#pin, { act: "pin", on });
    });
    // Also where nothing on the page has the focus yet.
    document.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("focus", () => {
      this.#came = performance.now();
    });
    this.#main.addEventListener("scroll", () => {
      attribute(this, "data-scrolled", this.#main.scrollTop > 0 ? "" : null);
    });
  }

  connectedCallback() {
    if (!this.#main.isConnected) {
      const head = h("header", {}, this.#lamp, h("div", { class: "words" }, this.#sentence, this.#next), this.#pin);
      const ways = h("nav", { "aria-label": texts.pages.label }, ...this.#ways.map(({ way }) => way));
      this.#main.append(this.#loading, this.#trouble.root, this.#servers, this.#activity.root, this.#settings.root);
      this.append(symbols(), head, this.#main, ways, this.#spoken);
      this.go("servers");
    }
  }

  /** Shows a view. @param {Shown} shown */
  show(shown) {
    const first = this.#shown === null;
    this.#shown = shown;
    const { view } = shown;
    this.#keepingFocus(() => {
      this.#lamp.show(view.shape);
      text(this.#sentence, view.sentence);
      const title = view.sentence || texts.name;
      if (document.title !== title) {
        document.title = title;
      }
      text(this.#next, next(shown));
      attribute(this.#pin, "aria-pressed", String(view.pinned));
      this.#servers.show(shown);
      this.#activity.show(shown);
      this.#settings.show(shown);
    });
    attribute(document.documentElement, "data-state", "shown");
    const fresh = view.seq !== this.#followed;
    this.#followed = view.seq;
    const forward = fresh && view.focus !== null && this.#bring(view.focus);
    const turned = fresh && view.turn_to_settings;
    if (turned) {
      this.go("settings");
    }
    if (fresh && view.linked !== null) {
      // Who opened or raised the page by a link, whoever that was, finds no button under Enter.
      const atWork = document.hasFocus() && performance.now() - this.#came > JUST_CAME;
      if (first || !atWork) {
        this.#main.focus({ preventScroll: true });
      }
      this.#reveal(view.linked);
    } else if (turned || (first && !forward)) {
      this.#begin();
    }
  }

  /** Says a change, politely and once. @param {string} words */
  say(words) {
    this.#spoken.textContent = words;
  }

  /** Tells what went wrong with an act. @param {string} sentence @param {HTMLElement} by */
  tell(sentence, by) {
    this.#trouble.tell(sentence, by);
  }

  /** Turns to a page. @param {Name} page */
  go(page) {
    this.#page = page;
    hide(this.#servers, page !== "servers");
    hide(this.#activity.root, page !== "activity");
    hide(this.#settings.root, page !== "settings");
    for (const { name, way } of this.#ways) {
      attribute(way, "aria-current", name === page ? "page" : null);
    }
    // Where nothing can be pressed, keys must still be able to scroll.
    attribute(this.#main, "tabindex", page === "activity" ? "0" : "-1");
    this.#main.scrollTop = 0;
  }

  /** @param {Name} name */
  #way(name) {
    const way = button("", () => this.go(name), "way");
    way.append(drawing(name), h("span", {}, texts.pages[name]));
    way.dataset.page = name;
    return way;
  }

  /** Opens a row and brings it forward; whether it is there. @param {string} id */
  #bring(id) {
    if (!this.#servers.find(id)) {
      return false;
    }
    this.go("servers");
    return this.#servers.bring(id);
  }

  /** Opens a row and brings it forward; whoever has the focus keeps it, and the page that holds it stays. @param {string} id */
  #reveal(id) {
    const had = document.activeElement;
    const idle = had === null || had === document.body || had === this.#main;
    if (idle || this.#page === "servers") {
      if (this.#page !== "servers") {
        this.go("servers");
      }
      this.#servers.reveal(id);
    }
  }

  /** Where the focus is when the page opens: on what needs a person first, else in the list. */
  #begin() {
    if (this.#page !== "servers" || !this.#servers.begin()) {
      this.#main.focus({ preventScroll: true });
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.defaultPrevented) {
      return;
    }
    if (event.key === "Escape") {
      event.preventDefault();
      if (!this.#trouble.leave() && !this.#servers.leave() && !this.#settings.leave()) {
        send(this, { act: "close" });
      }
    } else if (event.key === "ArrowDown" && event.target === this.#main && this.#page === "servers") {
      if (this.#servers.enter()) {
        event.preventDefault();
      }
    }
  }

  /**
   * Runs a change and gives the focus back to who had it; if that is gone, to its row, else to the page.
   * @param {() => void} change
   */
  #keepingFocus(change) {
    const had = /** @type {HTMLElement | null} */ (document.activeElement);
    const inside = had !== null && this.contains(had);
    const grant = had?.closest("server-row")?.getAttribute("data-grant") ?? "";
    change();
    if (!inside || (document.activeElement === had && visible(had))) {
      return;
    }
    const to = visible(had) ? had : (this.#servers.find(grant)?.toggle ?? this.#main);
    to.focus({ preventScroll: true });
  }
}

/** The line below the sentence: when something happens next, if Lamplighter is to do it. @param {Shown} shown */
function next({ view, reader }) {
  const times = view.rows.map((row) => row.next_renewal_at ?? 0).filter((at) => at > reader.now);
  const kept = view.consent === "keep" || view.demo;
  return kept && times.length > 0 ? texts.next(reader.length(Math.min(...times) - reader.now)) : texts.name;
}

customElements.define("lamp-page", LampPage);

/** @typedef {LampPage} Page */
