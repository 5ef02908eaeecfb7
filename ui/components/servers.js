// The servers: what needs a person first, then the rest by client and folder.
//
// Order within a group is the shell's. A row stays the same element wherever it stands, so that it
// stays open and keeps the focus. Arrow keys walk from row to row. Read next: row.js, cards.js.

import { actButton, attribute, h, hide, text, unique } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";
import { demoBanner, faults, firstRun, hints, nothing, notes } from "./cards.js";
import { serverRow } from "./row.js";

/** @import { Row, View } from "../bindings/index.ts" */
/** @import { Shown } from "./page.js" */
/** @typedef {{ key: string, title: string, place: string, rows: Row[] }} Group */

/** The name of the group of those that need a person. */
const URGENT = "";

class ServerList extends HTMLElement {
  #banner = demoBanner();
  #notes = notes();
  #hints = hints();
  #question = firstRun();
  #faults = faults();
  #nothing = nothing();
  #groups = h("div", { class: "groups" });
  #checkAll = actButton(texts.checkAll, () => ({ act: "check_all" }), "quiet");
  #pauseAll = actButton(texts.pauseAll, () => ({ act: "pause_all" }), "quiet");
  #resumeAll = actButton(texts.resumeAll, () => ({ act: "resume_all" }), "quiet");
  #all = h("div", { class: "all buttons" }, this.#checkAll, this.#pauseAll, this.#resumeAll);
  /** @type {Map<string, ReturnType<typeof serverRow>>} */
  #rows = new Map();

  constructor() {
    super();
    this.addEventListener("keydown", (event) => this.#walk(event));
  }

  connectedCallback() {
    if (!this.#groups.isConnected) {
      const cards = [this.#banner, this.#notes, this.#hints, this.#question, this.#faults, this.#nothing];
      this.append(...cards.map((card) => card.root), this.#groups, this.#all);
    }
  }

  /** @param {Shown} shown */
  show(shown) {
    const { view, reader } = shown;
    this.#banner.show(view);
    this.#notes.show(view);
    this.#hints.show(view, reader.now);
    this.#question.show(view);
    this.#faults.show(view);
    this.#nothing.show(view);

    const here = new Set(view.rows.map((row) => row.id));
    for (const gone of [...this.#rows.keys()].filter((id) => !here.has(id))) {
      this.#rows.delete(gone);
    }
    reconcile(this.#groups, grouped(view), (group) => group.key, makeGroup, (section, group) => {
      const [title, rows] = Array.from(section.children);
      if (title?.firstElementChild && title.lastElementChild && rows) {
        text(title.firstElementChild, group.title);
        text(title.lastElementChild, group.place);
        reconcile(rows, group.rows, (row) => row.id, (row) => this.#row(row.id), (node, row) => node.show(row, shown));
      }
    });

    /** @param {string} button */
    const offered = (button) => view.rows.some((row) => row.buttons.some((one) => one === button));
    hide(this.#checkAll, !offered("check"));
    hide(this.#pauseAll, !offered("pause"));
    hide(this.#resumeAll, !offered("resume"));
    hide(this.#all, [this.#checkAll, this.#pauseAll, this.#resumeAll].every((one) => one.hidden));
  }

  /** Opens a row and brings it forward, with what open sessions need first; whether it is there. @param {string} id */
  bring(id) {
    const row = this.#rows.get(id);
    row?.open(true);
    row?.scrollIntoView({ block: "nearest" });
    if (row && !this.#hints.begin(id)) {
      row.first.focus();
    }
    return row !== undefined;
  }

  /** Opens a row and brings it forward, without the focus. @param {string} id */
  reveal(id) {
    const row = this.#rows.get(id);
    row?.open(true);
    row?.scrollIntoView({ block: "nearest" });
  }

  /** The row of a server, where there is one. @param {string} id */
  find(id) {
    return this.#rows.get(id);
  }

  /** Puts the focus on what needs a person first; whether there was anything. */
  begin() {
    if (!this.#question.root.hidden) {
      this.#question.begin();
      return true;
    }
    const urgent = this.#groups.querySelector("section.urgent server-row");
    const row = urgent && this.#rows.get(urgent.getAttribute("data-grant") ?? "");
    row?.first.focus();
    return Boolean(row);
  }

  /** Puts away what a row asks; whether one did. */
  leave() {
    return [...this.#rows.values()].some((row) => row.leave());
  }

  /** @param {string} id */
  #row(id) {
    const row = this.#rows.get(id) ?? serverRow();
    this.#rows.set(id, row);
    return row;
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.defaultPrevented || target.matches("input, [role=slider]") || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const rows = /** @type {ReturnType<typeof serverRow>[]} */ (Array.from(this.querySelectorAll("server-row")));
    const at = rows.findIndex((row) => row.contains(target));
    const steps = new Map([
      ["ArrowDown", at + 1],
      ["ArrowUp", at - 1],
      ["Home", 0],
      ["End", rows.length - 1],
    ]);
    const to = steps.get(event.key);
    if (to === undefined || rows.length === 0 || at < 0) {
      return;
    }
    event.preventDefault();
    rows[Math.min(rows.length - 1, Math.max(0, to))]?.toggle.focus();
  }

  /** Puts the focus on the first row; whether there is one. */
  enter() {
    const first = this.#groups.querySelector("server-row");
    const row = first && this.#rows.get(first.getAttribute("data-grant") ?? "");
    row?.toggle.focus();
    return Boolean(row);
  }
}

/** @param {Group} group */
function makeGroup(group) {
  const title = h("h2", { id: unique("group") }, h("span"), h("span", { class: "place" }));
  const rows = h("div", { class: "card rows", role: "list", "aria-labelledby": title.id });
  const section = h("section", {}, title, rows);
  attribute(section, "class", group.key === URGENT ? "group urgent" : "group");
  return section;
}

/**
 * @param {View} view
 * @returns {Group[]}
 */
function grouped(view) {
  /** Whether a person is waited for: needed, asked to look at a store, or signing in. @param {Row} row */
  const urgent = (row) => row.exit === 10 || row.exit === 12 || row.sign_in !== null;
  /** @type {Map<string, Group>} */
  const groups = new Map();
  const waiting = view.rows.filter(urgent);
  if (waiting.length > 0) {
    groups.set(URGENT, { key: URGENT, title: texts.needsYou, place: "", rows: waiting });
  }
  for (const row of view.rows.filter((one) => !urgent(one))) {
    const group = groups.get(row.store) ?? { key: row.store, ...heading(view, row), rows: [] };
    group.rows.push(row);
    groups.set(row.store, group);
  }
  return [...groups.values()];
}

/**
 * The client, with the folder where it has more than one.
 * @param {View} view
 * @param {Row} row
 */
function heading(view, row) {
  const store = view.stores.find((one) => one.id === row.store);
  const several = view.stores.filter((one) => one.client === row.client).length > 1;
  return { title: row.client, place: several && store ? store.place : "" };
}

customElements.define("server-list", ServerList);

/** @returns {ServerList} */
export function serverList() {
  return /** @type {ServerList} */ (document.createElement("server-list"));
}
