// What can be set on the page: the answer of the first run, a few switches, folders, the way out.
//
// A switch shows what the shell says is set; what a person chose counts when the next view says so.
// In the demo nothing is there that would reach out of it.
// Removing Lamplighter asks once more, the safe answer first.

import { actButton, attribute, button, h, hide, optional, prose, send, text, unique } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";
import { addedFolder, folderAdder } from "./folders.js";

/** @import { Act, StoreRow } from "../bindings/index.ts" */
/** @import { Shown } from "./page.js" */

const say = texts.settings;

export function settings() {
  const keep = choice(say.keep, say.keepWords, "keep");
  const watch = choice(say.watch, say.watchWords, "watch");
  const login = toggle(say.startAtLogin, (on) => ({ act: "start_at_login", on }));
  const notices = toggle(say.notices, (on) => ({ act: "notices", on }), say.noticesWords);
  const probe = toggle(say.probe, (on) => ({ act: "probe", on }), say.probeWords);
  const pin = toggle(say.keepOpen, (on) => ({ act: "pin", on }));
  const stores = h("ul", { class: "stores" });
  const added = h("ul", { class: "offers" });
  const folders = folderAdder();
  const file = h("code", { class: "path" });
  const demo = actButton(say.demo, () => ({ act: "demo" }));
  const end = wayOut();

  const keeping = section(say.keeping, h("div", { role: "radiogroup", "aria-label": say.keeping }, keep.root, watch.root));
  const others = section(say.folders, added, folders.root);
  const written = section(
    say.file,
    h("div", { class: "line" }, file, h("p", { class: "aside" }, say.fileWords)),
    h("div", { class: "line buttons" }, actButton(say.openFile, () => ({ act: "open_settings_file" }))),
  );
  const ownOnly = [keeping, login.root, notices.root, probe.root, others, written, end.remove];
  const root = h(
    "section",
    { class: "settings" },
    h("h2", { class: "unseen" }, say.title),
    keeping,
    section(say.general, login.root, notices.root, probe.root, pin.root),
    section(say.clients, stores),
    others,
    written,
    section(say.end, h("div", { class: "line buttons" }, demo, end.quit, end.remove), end.sure),
  );

  /** @param {Shown} shown */
  const show = ({ view }) => {
    keep.show(view.consent === "keep");
    watch.show(view.consent === "watch");
    login.show(view.settings.start_at_login ?? false, view.settings.start_at_login === null ? say.startAtLoginNot : null);
    notices.show(view.settings.notices);
    probe.show(view.settings.probe);
    pin.show(view.pinned);
    reconcile(stores, view.stores, (store) => store.id, makeStore, fillStore);
    hide(added, view.settings.folders.length === 0);
    reconcile(added, view.settings.folders, (folder) => folder, addedFolder, () => {});
    folders.show(view);
    text(file, view.settings.file);
    hide(demo, view.demo);
    if (view.demo) {
      end.leave();
    }
    for (const part of ownOnly) {
      hide(part, view.demo);
    }
  };
  return { root, show, leave: end.leave };
}

/** @param {string} title @param {Node[]} lines */
function section(title, ...lines) {
  const heading = h("h3", { id: unique("set") }, title);
  return h("section", { class: "group", "aria-labelledby": heading.id }, heading, h("div", { class: "card set" }, ...lines));
}

/** @param {string} label @param {string} words @param {"keep" | "watch"} answer */
function choice(label, words, answer) {
  const input = h("input", { type: "radio", name: "consent", value: answer, id: unique("answer") });
  const aside = h("span", { class: "aside", id: unique("about") }, words);
  attribute(input, "aria-describedby", aside.id);
  input.addEventListener("change", () => send(input, { act: "consent", answer }));
  const root = h("div", { class: "line choice" }, input, h("label", { for: input.id }, label), aside);
  /** @param {boolean} on */
  const show = (on) => {
    input.checked = on;
  };
  return { root, show };
}

/** @param {string} label @param {(on: boolean) => Act} act @param {string} [words] */
function toggle(label, act, words) {
  const input = h("input", { type: "checkbox", role: "switch", id: unique("switch") });
  const aside = h("span", { class: "aside", id: unique("about") }, words ?? "");
  attribute(input, "aria-describedby", aside.id);
  input.addEventListener("change", () => send(input, act(input.checked)));
  const root = h("div", { class: "line switch" }, h("label", { for: input.id }, label), input, aside);
  /** @param {boolean} on @param {string | null} [cannot] why it can't be set here */
  const show = (on, cannot = null) => {
    input.checked = on;
    input.disabled = cannot !== null;
    optional(aside, cannot ?? words ?? null);
  };
  return { root, show };
}

/** @param {StoreRow} store */
function makeStore(store) {
  const file = actButton(say.showFile, () => ({ act: "show_file", store: store.id }));
  attribute(file, "aria-label", texts.buttonFor(say.showFile, store.place));
  return h(
    "li",
    {},
    h("span", { class: "client" }),
    h("span", { class: "path" }),
    file,
    h("p", { class: "reason" }),
    h("ul", { class: "advice" }),
  );
}

/** @param {HTMLLIElement} item @param {StoreRow} store */
function fillStore(item, store) {
  const [client, place, , fault, advice] = /** @type {HTMLElement[]} */ (Array.from(item.children));
  if (client && place && fault && advice) {
    text(client, say.client(store.client, store.client_version));
    text(place, store.place);
    optional(fault, store.fault);
    hide(advice, store.advice.length === 0);
    reconcile(advice, store.advice, (words) => words, () => h("li"), prose);
  }
}

/** Quit, and Remove with its one question. */
function wayOut() {
  const quit = actButton(say.quit, () => ({ act: "quit" }));
  const title = h("h4", { id: unique("sure") }, say.removeTitle);
  const no = button(say.removeNo, () => leave());
  const yes = actButton(say.removeYes, () => ({ act: "remove_lamplighter" }));
  const sure = h(
    "div",
    { class: "line sure", role: "group", "aria-labelledby": title.id },
    title,
    h("p", {}, say.removeWords),
    h("div", { class: "buttons" }, no, yes),
  );
  hide(sure, true);
  const remove = button(
    say.remove,
    () => {
      hide(sure, false);
      attribute(remove, "aria-expanded", "true");
      no.focus();
    },
    "quiet",
  );
  attribute(remove, "aria-expanded", "false");
  /** Puts the question away; whether it was asked. */
  function leave() {
    const was = !sure.hidden;
    hide(sure, true);
    attribute(remove, "aria-expanded", "false");
    if (was) {
      remove.focus();
    }
    return was;
  }
  return { quit, remove, sure, leave };
}
