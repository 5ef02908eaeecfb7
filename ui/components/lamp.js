// The lamp in its four shapes, and the other small drawings, as symbols that are made once.
//
// Shapes are told apart in one colour; colour only adds. What a lamp says is always said in words
// beside it, so drawings are hidden from who listens. The paths are those of `icons/tray`.

import { attribute, svg } from "../dom.js";

/** @import { Shape } from "../bindings/index.ts" */

const GLASS = "M8 1.1a5.1 5.1 0 0 0-3 9.22c.5.37.8.8.8 1.28h4.4c0-.48.3-.91.8-1.28A5.1 5.1 0 0 0 8 1.1z";
const INSIDE = "M8 2.5a3.7 3.7 0 0 1 2.17 6.7c-.5.36-.86.78-1.07 1.2H6.9c-.21-.42-.57-.84-1.07-1.2A3.7 3.7 0 0 1 8 2.5z";
const FOOT = "M6 12h4v1H6zM6.5 14h3v1h-3z";

/** Filled paths, in a square of 16. @type {Record<string, string[]>} */
const FILLED = {
  lit: [
    "M8 3.2a3.9 3.9 0 0 0-2.3 7.05c.38.28.6.6.6.97v.38h3.4v-.38c0-.37.22-.69.6-.97A3.9 3.9 0 0 0 8 3.2z",
    "M7.4 0h1.2v2H7.4zM0 6.5h2.4v1.2H0zM13.6 6.5H16v1.2h-2.4zM2.3 1.45l.85-.85 1.5 1.5-.85.85zM12.85.6l.85.85-1.5 1.5-.85-.85z",
    FOOT,
  ],
  half: [GLASS + INSIDE, "M3 6h10a5.1 5.1 0 0 1-2 4.32c-.5.37-.8.8-.8 1.28H5.8c0-.48-.3-.91-.8-1.28A5.1 5.1 0 0 1 3 6z", FOOT],
  alert: [`${GLASS}M7.1 3h1.8v3.9H7.1zM7.1 8h1.8v1.8H7.1z`, FOOT],
  hollow: [GLASS + INSIDE, FOOT],
};

/** Drawn lines, in a square of 16. @type {Record<string, string[]>} */
const LINES = {
  servers: ["M3 3.5h10v3.6H3zM3 8.9h10v3.6H3z", "M5.2 5.3h.01M5.2 10.7h.01"],
  activity: ["M8 2.5a5.5 5.5 0 1 1-5.2 3.7", "M2.6 3v3.2h3.2", "M8 5.2V8l2 1.4"],
  settings: ["M2.5 5h5.2M11.3 5h2.2M2.5 11h2.2M8.3 11h5.2", "M9.5 3.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6zM6.5 9.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6z"],
  pin: ["M6 2.5h4M6.7 2.5v4L4.5 9.2h7L9.3 6.5v-4", "M8 9.2v4.3"],
  open: ["M4.5 6.2 8 9.7l3.5-3.5"],
  done: ["M3.8 8.4l2.8 2.8 5.6-6"],
};

/** Marks of the strip, in 10 by 24, standing at the foot. @type {Record<string, string[]>} */
const MARKS = {
  "mark-renewed": ["M2 2h6v20H2z"],
  "mark-client": ["M2 2h6v20H2zM3.4 3.4v17.2h3.2V3.4z"],
  "mark-failed": ["M1 14.4 2.4 13 5 15.6 7.6 13 9 14.4 6.4 17.5 9 20.6 7.6 22 5 19.4 2.4 22 1 20.6 3.6 17.5z"],
  "mark-signed_in": ["M5 13.6a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4z"],
  "mark-sign_in_failed": ["M5 13.2 9.8 22H.2zM5 16.2 2.6 20.6h4.8z"],
  "mark-restored": ["M5 13.2 9.8 22H.2z"],
  "mark-signed_out": ["M5 13.6a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4zM5 15.1a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4z"],
};

/** All symbols, to be put into the document once. */
export function symbols() {
  const defs = svg("svg", { width: "0", height: "0", class: "symbols", "aria-hidden": "true" });
  /** @param {string} name @param {string} box @param {string[]} paths @param {Record<string, string>} look */
  const symbol = (name, box, paths, look) => {
    const drawn = paths.map((d) => svg("path", { d, ...look }));
    defs.append(svg("symbol", { id: `draw-${name}`, viewBox: box }, ...drawn));
  };
  const filled = { fill: "currentColor", "fill-rule": "evenodd" };
  const lines = {
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.3",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  };
  Object.entries(FILLED).forEach(([name, paths]) => symbol(name, "0 0 16 16", paths, filled));
  Object.entries(LINES).forEach(([name, paths]) => symbol(name, "0 0 16 16", paths, lines));
  Object.entries(MARKS).forEach(([name, paths]) => symbol(name, "0 0 10 24", paths, filled));
  return defs;
}

/**
 * A drawing by its symbol's name.
 * @param {string} name
 * @param {string} [look] its class
 */
export function drawing(name, look = "icon") {
  return svg("svg", { class: look, "aria-hidden": "true" }, svg("use", { href: `#draw-${name}` }));
}

/**
 * Another symbol in the same drawing.
 * @param {SVGSVGElement} of
 * @param {string} name
 */
export function redraw(of, name) {
  const use = of.firstElementChild;
  if (use) {
    attribute(use, "href", `#draw-${name}`);
  }
}

class LampLight extends HTMLElement {
  #drawn = drawing("hollow", "lamp");

  connectedCallback() {
    if (!this.#drawn.isConnected) {
      this.append(this.#drawn);
    }
  }

  /** @param {Shape} shape */
  show(shape) {
    attribute(this, "data-shape", shape);
    redraw(this.#drawn, shape);
  }
}

customElements.define("lamp-light", LampLight);

/** @returns {LampLight} */
export function lamp() {
  return /** @type {LampLight} */ (document.createElement("lamp-light"));
}
