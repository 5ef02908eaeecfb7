// The cards above and instead of the list: the demo's banner, notes, hints for open sessions, the
// question of the first run, what is wrong with a store, nothing found.
//
// Each is shown where the view has something for it; none remembers anything.

import { actButton, attribute, button, copyButton, h, hide, optional, prose, text, unique } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";
import { folderAdder } from "./folders.js";
import { drawing, lamp } from "./lamp.js";

/** @import { Hint, StoreRow, View } from "../bindings/index.ts" */

/** The demo's banner. */
export function demoBanner() {
  const leave = actButton(texts.demo.leave, () => ({ act: "leave_demo" }));
  const root = h("section", { class: "banner" }, h("p", {}, texts.demo.words), leave);
  /** @param {View} view */
  const show = (view) => {
    hide(root, !view.demo);
  };
  return { root, show };
}

/** What a person should know about Lamplighter itself. */
export function notes() {
  const root = h("div", { class: "notes" });
  /** @param {View} view */
  const show = (view) => {
    const watching = view.consent === "watch" && !view.demo ? [texts.watching] : [];
    const all = [...(view.elsewhere === null ? [] : [view.elsewhere]), ...watching, ...view.notes];
    hide(root, all.length === 0);
    reconcile(root, all, (words) => words, () => h("p", { class: "note" }), prose);
  };
  return { root, show };
}

/** What open sessions need after a repair. */
export function hints() {
  const list = h("div", { class: "hints" });
  const root = h("section", { "aria-label": texts.hints.label }, list);
  /** @param {View} view @param {number} now */
  const show = (view, now) => {
    const fresh = view.hints.filter((hint) => hint.until > now);
    hide(root, fresh.length === 0);
    reconcile(list, fresh, (hint) => `${hint.grant} ${hint.command}`, makeHint, (card, hint) => {
      const [words, line] = Array.from(card.children);
      if (words && line?.firstElementChild) {
        prose(words, hint.words);
        text(line.firstElementChild, hint.command);
      }
    });
  };
  /** Puts the focus on the hint for a server; whether there is one. @param {string} grant */
  const begin = (grant) => {
    const copy = /** @type {HTMLElement | null} */ (list.querySelector(`[data-hint="${CSS.escape(grant)}"] button`));
    copy?.focus();
    return copy !== null;
  };
  return { root, show, begin };
}

/** @param {Hint} hint */
function makeHint(hint) {
  const words = h("p", { id: unique("hint") });
  const copy = copyButton(texts.copy, () => hint.command);
  attribute(copy, "aria-label", texts.buttonFor(texts.copy, hint.command));
  return h("div", { class: "card hint", "data-hint": hint.grant }, words, h("div", { class: "command" }, h("code"), copy));
}

/** The question that is asked once. */
export function firstRun() {
  const title = h("h2", { tabindex: "-1" }, texts.firstRun.title);
  const question = h("p", { class: "question" });
  const keep = actButton(texts.firstRun.keep, () => ({ act: "consent", answer: "keep" }), "primary");
  const watch = actButton(texts.firstRun.watch, () => ({ act: "consent", answer: "watch" }));
  const root = h(
    "section",
    { class: "card first-run" },
    title,
    question,
    h("p", {}, texts.firstRun.words),
    h("div", { class: "buttons" }, keep, watch),
    h("p", { class: "later" }, texts.firstRun.later),
  );
  /** @param {View} view */
  const show = (view) => {
    hide(root, view.consent !== "unasked" || view.demo || view.rows.length === 0);
    text(question, view.question);
  };
  return { root, show, begin: () => title.focus() };
}

/** What is wrong with stores that have no row to say it. */
export function faults() {
  const root = h("div", { class: "faults" });
  /** @param {View} view */
  const show = (view) => {
    const told = new Set(view.rows.map((row) => row.store));
    const broken = view.stores.filter((store) => store.fault !== null && !told.has(store.id));
    hide(root, broken.length === 0);
    reconcile(root, broken, (store) => store.id, makeFault, (card, store) => {
      const words = card.querySelector("p");
      if (words) {
        prose(words, store.fault ?? "");
      }
    });
  };
  return { root, show };
}

/** @param {StoreRow} store */
function makeFault(store) {
  const shape = lamp();
  shape.show("alert");
  const show = actButton(texts.button.show_file, () => ({ act: "show_file", store: store.id }));
  attribute(show, "aria-label", texts.buttonFor(texts.button.show_file, store.place));
  const words = h("div", { class: "words" }, h("h2", {}, store.client), h("p"));
  return h("section", { class: "card fault" }, shape, words, show);
}

/** Nothing found: where it looked, what never appears, what can be done. */
export function nothing() {
  const looked = h("ul", { class: "places" });
  const lookedAt = h("div", {}, h("h3", {}, texts.nothing.looked), looked);
  const folders = folderAdder();
  const demo = actButton(texts.nothing.demo, () => ({ act: "demo" }), "primary");
  const tried = h("div", { class: "try" }, h("p", {}, texts.nothing.demoWords), demo);
  const root = h(
    "section",
    { class: "card nothing" },
    h("h2", {}, texts.nothing.title),
    h("p", {}, texts.nothing.words),
    tried,
    lookedAt,
    h("p", { class: "absent" }, texts.nothing.absent),
    folders.root,
  );
  /** @param {View} view */
  const show = (view) => {
    // What can't be read is not nothing.
    hide(root, view.rows.length > 0 || view.stores.some((store) => store.fault !== null));
    hide(lookedAt, view.looked.length === 0);
    hide(tried, view.demo);
    reconcile(looked, view.looked, (place) => place, (place) => h("li", {}, place), () => {});
    folders.show(view);
  };
  return { root, show };
}

/** A sentence of something that went wrong with a person's own act; it takes the focus to be heard. */
export function trouble() {
  const words = h("p", { tabindex: "-1" });
  /** @type {HTMLElement | null} */
  let from = null;
  const leave = () => {
    const was = !root.hidden;
    hide(root, true);
    if (was && from?.isConnected) {
      from.focus();
    }
    return was;
  };
  const root = h("section", { class: "card trouble" }, drawing("alert", "lamp"), words, button(texts.dismiss, leave));
  hide(root, true);
  /** @param {string} sentence @param {HTMLElement} by what was pressed */
  const tell = (sentence, by) => {
    from = by;
    optional(words, sentence);
    hide(root, false);
    words.focus();
  };
  return { root, tell, leave };
}
