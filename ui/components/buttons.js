// The buttons that the shell offers for a row, as it offers them.
//
// It must not add or leave out any. *Review* shows both hosts first, *Sign out* asks first and *Copy*
// needs nobody, so these three send nothing by themselves.

import { actButton, attribute, button as plainButton, copyButton, text } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { buttonLabel, texts } from "../texts.js";

/** @import { Act, Button, Row } from "../bindings/index.ts" */

/**
 * What is pressed belongs to what is shown when it is pressed.
 * @type {WeakMap<Element, { row: Row, updateCommand: string }>}
 */
const about = new WeakMap();

/**
 * @param {Element} into
 * @param {Row} row
 * @param {readonly Button[]} buttons
 * @param {string} updateCommand
 * @param {string} look
 */
export function fillButtons(into, row, buttons, updateCommand, look) {
  reconcile(
    into,
    buttons,
    (button) => `${row.id} ${button}`,
    (button) => make(button),
    (element, button) => {
      about.set(element, { row, updateCommand });
      const label = buttonLabel(button, row, updateCommand);
      if (!element.dataset.said) {
        text(element, label);
        attribute(element, "aria-label", texts.buttonFor(label, row.title));
      }
      attribute(element, "class", look);
    },
  );
}

/** @param {Button} button */
function make(button) {
  /** @type {HTMLButtonElement} */
  const element = build(button, () => {
    const told = about.get(element);
    if (!told) {
      throw new Error(texts.failed);
    }
    return told;
  });
  element.dataset.button = button;
  return element;
}

/**
 * @param {Button} button
 * @param {() => { row: Row, updateCommand: string }} told
 */
function build(button, told) {
  if (button === "copy_update") {
    return copyButton("", () => told().updateCommand);
  }
  if (button === "review") {
    /** @type {HTMLButtonElement} */
    const element = plainButton("", () => element.dispatchEvent(new CustomEvent("review", { bubbles: true })));
    return element;
  }
  if (button === "sign_out") {
    /** @type {HTMLButtonElement} */
    const element = plainButton("", () => element.dispatchEvent(new CustomEvent("sign-out", { bubbles: true })));
    return element;
  }
  return actButton("", () => act(button, told().row));
}

/**
 * @param {Exclude<Button, "copy_update" | "review" | "sign_out">} button
 * @param {Row} row
 * @returns {Act}
 */
function act(button, row) {
  switch (button) {
    case "renew":
    case "check":
    case "reconnect":
    case "pause":
    case "resume":
      return { act: button, grant: row.id };
    case "sign_in":
      return { act: "reconnect", grant: row.id };
    case "cancel":
      return { act: "cancel_sign_in", grant: row.id };
    case "unlock":
    case "show_file":
      return { act: button, store: row.store };
  }
}
