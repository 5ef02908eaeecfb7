// The strip of what happened to a grant lately: who, when, how it went.
//
// One stop for the keyboard; left and right, Home and End walk along it, and the line below says
// what is there. Marks are told apart by shape. It must not judge: the words are the shell's.

import { attribute, h, hide, optional, text } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";
import { drawing, redraw } from "./lamp.js";

/** @import { Past } from "../bindings/index.ts" */
/** @import { Reader } from "../time.js" */

/** How it is drawn. @param {Past} past */
const mark = (past) => (past.what === "renewed" && past.by === "client" ? "client" : past.what);

class PastStrip extends HTMLElement {
  /** @type {Past[]} */
  #past = [];
  /** @type {Reader | null} */
  #reader = null;
  /** The one that is told about, as its moment; null is always the latest. @type {number | null} */
  #chosen = null;
  /** @type {number | null} */
  #pointed = null;
  #title = h("h3");
  #strip = h("div", { class: "strip", role: "slider", tabindex: "0", "aria-valuemin": "1" });
  #line = h("p", { class: "told" });
  #legend = h("p", { class: "legend", "aria-hidden": "true" });
  #none = h("p", { class: "told" }, texts.past.none);

  constructor() {
    super();
    this.#strip.addEventListener("keydown", (event) => this.#walk(event));
    this.#strip.addEventListener("pointermove", (event) => this.#point(event));
    this.#strip.addEventListener("pointerleave", () => {
      this.#pointed = null;
      this.#tell();
    });
    this.#strip.addEventListener("click", () => {
      this.#chosen = this.#pointed ?? this.#chosen;
      this.#tell();
    });
  }

  connectedCallback() {
    if (!this.#strip.isConnected) {
      this.append(this.#title, this.#none, this.#strip, this.#line, this.#legend);
    }
  }

  /** @param {Past[]} past oldest first @param {Reader} reader */
  show(past, reader) {
    this.#past = past;
    this.#reader = reader;
    const some = past.length > 0;
    text(this.#title, some ? texts.past.title(past.length) : texts.past.label);
    hide(this.#none, some);
    for (const part of [this.#strip, this.#line, this.#legend]) {
      hide(part, !some);
    }
    reconcile(
      this.#strip,
      past,
      (one) => `${one.at} ${one.what}`,
      () => h("span", { class: "mark" }, drawing("mark-renewed", "drawn")),
      (cell, one) => {
        attribute(cell, "data-mark", mark(one));
        redraw(/** @type {SVGSVGElement} */ (cell.firstElementChild), `mark-${mark(one)}`);
      },
    );
    reconcile(
      this.#legend,
      Object.keys(texts.mark).filter((name) => past.some((one) => mark(one) === name)),
      (name) => name,
      (name) => h("span", { class: "key" }, drawing(`mark-${name}`, "drawn"), texts.mark[name] ?? name),
      () => {},
    );
    this.#tell();
  }

  /** Which one is told about. */
  #place() {
    const found = this.#past.findIndex((one) => one.at === (this.#pointed ?? this.#chosen));
    return found < 0 ? this.#past.length - 1 : found;
  }

  #tell() {
    const place = this.#place();
    const one = this.#past[place];
    if (!one || !this.#reader) {
      return;
    }
    const count = this.#past.length;
    const time = this.#reader.moment(one.at);
    optional(this.#line, texts.past.one(time, one.words));
    attribute(this.#strip, "aria-label", texts.past.label);
    attribute(this.#strip, "aria-valuemax", String(count));
    attribute(this.#strip, "aria-valuenow", String(place + 1));
    attribute(this.#strip, "aria-valuetext", texts.past.spoken(time, one.words, place + 1, count));
    Array.from(this.#strip.children).forEach((cell, index) => {
      attribute(cell, "data-told", index === place ? "" : null);
    });
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const last = this.#past.length - 1;
    const place = this.#place();
    const steps = new Map([
      ["ArrowLeft", place - 1],
      ["ArrowRight", place + 1],
      ["Home", 0],
      ["End", last],
    ]);
    const to = steps.get(event.key);
    if (to === undefined) {
      return;
    }
    event.preventDefault();
    this.#pointed = null;
    this.#chosen = this.#past[Math.min(last, Math.max(0, to))]?.at ?? null;
    this.#tell();
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const cell = /** @type {Element} */ (event.target).closest(".mark");
    const index = cell ? Array.from(this.#strip.children).indexOf(cell) : -1;
    this.#pointed = this.#past[index]?.at ?? null;
    this.#tell();
  }
}

customElements.define("past-strip", PastStrip);

/** @returns {PastStrip} */
export function pastStrip() {
  return /** @type {PastStrip} */ (document.createElement("past-strip"));
}
