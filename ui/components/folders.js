// More config folders: a field for a path, and those that were found and are left alone until added.
//
// It must not check a path: the shell knows the disk, and says so if it can't be taken.

import { actButton, attribute, h, hide, send, unique } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";

/** @import { View } from "../bindings/index.ts" */

export function folderAdder() {
  const field = h("input", {
    id: unique("folder"),
    type: "text",
    required: "",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: texts.folder.placeholder,
  });
  const add = h("button", { type: "submit", class: "plain" }, texts.folder.add);
  const form = h(
    "form",
    { class: "add", novalidate: "" },
    h("label", { for: field.id }, texts.folder.label),
    h("div", { class: "field" }, field, add),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const folder = field.value.trim();
    if (folder === "") {
      field.focus();
      return;
    }
    send(add, { act: "add_folder", folder });
  });
  add.addEventListener("done", () => void (field.value = ""));
  const offered = h("ul", { class: "offers" });
  const offers = h("div", {}, h("p", { class: "aside" }, texts.folder.offered), offered);
  const root = h("div", { class: "folders" }, offers, form);
  /** @param {View} view */
  const show = (view) => {
    // A folder of the person's is nothing for the demo.
    hide(root, view.demo);
    hide(offers, view.offered.length === 0);
    reconcile(offered, view.offered, (folder) => folder, makeOffer, () => {});
  };
  return { root, show };
}

/** @param {string} folder */
function makeOffer(folder) {
  const add = actButton(texts.folder.add, () => ({ act: "add_folder", folder }));
  attribute(add, "aria-label", texts.folder.addThis(folder));
  return h("li", {}, h("span", { class: "path" }, folder), add);
}

/** A folder that was added, and can be left again. @param {string} folder */
export function addedFolder(folder) {
  const remove = actButton(texts.folder.remove, () => ({ act: "remove_folder", folder }));
  attribute(remove, "aria-label", texts.folder.removeThis(folder));
  return h("li", {}, h("span", { class: "path" }, folder), remove);
}
