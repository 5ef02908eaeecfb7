// Everything that happened, newest first, by day.
//
// It only tells; the shell's words are shown as they came.

import { h, hide, prose, text, unique } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";

/** @import { Line } from "../bindings/index.ts" */
/** @import { Shown } from "./page.js" */
/** @typedef {{ day: string, lines: Line[] }} Day */

export function activity() {
  const none = h("p", { class: "card aside" }, texts.activity.none);
  const days = h("div", { class: "groups" });
  const root = h("section", { class: "activity" }, h("h2", { class: "unseen" }, texts.activity.title), none, days);

  /** @param {Shown} shown */
  const show = ({ view, reader }) => {
    hide(none, view.activity.length > 0);
    /** @type {Map<string, Day>} */
    const byDay = new Map();
    for (const line of view.activity) {
      const day = reader.day(line.at);
      const one = byDay.get(day) ?? { day, lines: [] };
      one.lines.push(line);
      byDay.set(day, one);
    }
    const titles = new Map(view.rows.map((row) => [row.id, row.title]));
    reconcile(days, [...byDay.values()], ({ day }) => day, makeDay, (section, { day, lines }) => {
      const [title, list] = Array.from(section.children);
      if (title && list) {
        text(title, day);
        reconcile(list, lines, (line) => `${line.at} ${line.grant} ${line.words}`, makeLine, (item, line) => {
          const [time, who, words] = Array.from(item.children);
          if (time && who && words) {
            text(time, reader.clock(line.at));
            text(who, line.grant === null ? "" : (titles.get(line.grant) ?? line.grant));
            prose(words, line.words);
          }
        });
      }
    });
  };
  return { root, show };
}

function makeDay() {
  const title = h("h3", { id: unique("day") });
  return h("section", { class: "group" }, title, h("ol", { class: "card lines", "aria-labelledby": title.id }));
}

function makeLine() {
  return h("li", {}, h("span", { class: "time" }), h("span", { class: "who" }), h("span", { class: "what" }));
}
