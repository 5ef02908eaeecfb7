// The few lines of help with the document that every component needs.
//
// It must not take markup from a string: what servers and clients call themselves is text, always.
// Each function leaves what already is as it should be alone, so that a push that changes nothing
// touches nothing. Read next: reconcile.js.

/** @import { Act } from "./bindings/index.ts" */

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * An element of a drawing.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {Node[]} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Sets a text where it differs.
 * @param {Element} element
 * @param {string} words
 */
export function text(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

/** @type {WeakMap<Element, string>} */
const written = new WeakMap();

/**
 * Sets a sentence in which commands stand between backticks; these become code, all else stays text.
 * @param {Element} element
 * @param {string} words
 */
export function prose(element, words) {
  if (written.get(element) !== words) {
    written.set(element, words);
    const parts = words.split(/`([^`]+)`/).map((part, index) => (index % 2 ? h("code", {}, part) : part));
    element.replaceChildren(...parts.filter((part) => part !== ""));
  }
}

/**
 * Sets a sentence and shows the element only if there is one.
 * @param {HTMLElement} element
 * @param {string | null} words
 */
export function optional(element, words) {
  prose(element, words ?? "");
  hide(element, !words);
}

/**
 * Hides an element, or shows it, where that is not so already.
 * @param {HTMLElement} element
 * @param {boolean} hidden
 */
export function hide(element, hidden) {
  if (element.hidden !== hidden) {
    element.hidden = hidden;
  }
}

/**
 * Sets an attribute where it differs; null removes it.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value
 */
export function attribute(element, name, value) {
  if (value === null) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/**
 * Whether a person can see it and so be there.
 * @param {Element} element
 */
export function visible(element) {
  return element.isConnected && element.getClientRects().length > 0;
}

/**
 * A push button that does something on this page alone.
 * @param {string} label
 * @param {() => void} press
 * @param {string} [look] `primary`, `quiet`, or plain
 */
export function button(label, press, look = "plain") {
  const element = h("button", { type: "button", class: look }, label);
  // The second click of a double click would meet what the first one put in this place.
  element.addEventListener("click", (event) => event.detail < 2 && press());
  return element;
}

/**
 * A push button that sends an act: `lamp-page` hears of it and looks after the answer.
 * @param {string} label
 * @param {() => Act} act made when it is pressed, from what is shown then
 * @param {string} [look]
 */
export function actButton(label, act, look) {
  /** @type {HTMLButtonElement} */
  const element = button(label, () => send(element, act()), look);
  return element;
}

/**
 * Sends an act from an element.
 * @param {Element} from
 * @param {Act} act
 */
export function send(from, act) {
  from.dispatchEvent(new CustomEvent("act", { bubbles: true, detail: act }));
}

/**
 * A push button that copies a text which the page has already.
 * @param {string} label
 * @param {() => string} words
 * @param {string} [look]
 */
export function copyButton(label, words, look) {
  /** @type {HTMLButtonElement} */
  const element = button(
    label,
    () => element.dispatchEvent(new CustomEvent("words", { bubbles: true, detail: words() })),
    look,
  );
  return element;
}

let count = 0;

/** An id that nothing else on the page has. @param {string} what */
export function unique(what) {
  count += 1;
  return `${what}-${count}`;
}
