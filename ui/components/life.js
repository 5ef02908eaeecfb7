// The bar of a token's life: how much has passed, where renewal comes, where the sign-in itself ends.
//
// Neutral on purpose: a bar that is nearly full is nothing to worry about. It says the same in words.
// Widths are attributes of the drawing, since the policy forbids inline style.

import { attribute, hide, svg } from "../dom.js";
import { texts } from "../texts.js";

/** @import { Row } from "../bindings/index.ts" */
/** @import { Reader } from "../time.js" */

/** The drawing's width in its own units, whatever it is on screen. */
const WIDTH = 1_000;

class LifeBar extends HTMLElement {
  #passed = svg("rect", { class: "passed", x: "0", y: "2", height: "4" });
  #renewal = svg("rect", { class: "renewal", y: "0", width: "8", height: "8" });
  #ends = svg("rect", { class: "ends", y: "0", width: "16", height: "8" });
  #bar = svg(
    "svg",
    { role: "img", viewBox: `0 0 ${WIDTH} 8`, preserveAspectRatio: "none" },
    svg("rect", { class: "track", x: "0", y: "2", width: String(WIDTH), height: "4" }),
    this.#passed,
    this.#renewal,
    this.#ends,
  );

  connectedCallback() {
    if (!this.#bar.isConnected) {
      this.append(this.#bar);
    }
  }

  /** @param {Row} row @param {Reader} reader */
  show(row, reader) {
    const { issued_at: from, expires_at: to } = row;
    hide(this, from === null || to === null || to <= from);
    if (from === null || to === null || to <= from) {
      return;
    }
    /** @param {number} at */
    const along = (at) => Math.round(Math.min(1, Math.max(0, (at - from) / (to - from))) * WIDTH);
    /** @param {SVGElement} mark @param {number | null} at @param {number} size */
    const put = (mark, at, size) => {
      attribute(mark, "display", at === null || at < from || at > to ? "none" : null);
      attribute(mark, "x", String(Math.min(WIDTH - size, Math.max(0, along(at ?? from) - size / 2))));
    };
    attribute(this.#passed, "width", String(along(reader.now)));
    put(this.#renewal, row.next_renewal_at, 8);
    put(this.#ends, row.sign_in_ends_at, 16);
    attribute(this.#bar, "aria-label", words(row, from, to, reader));
  }
}

/**
 * @param {Row} row
 * @param {number} from
 * @param {number} to
 * @param {Reader} reader
 */
function words(row, from, to, reader) {
  const said = [
    to <= reader.now
      ? texts.life.ended
      : texts.life.left(reader.length(to - reader.now), reader.length(to - from)),
  ];
  if (row.next_renewal_at !== null) {
    said.push(texts.life.renewal(reader.moment(row.next_renewal_at)));
  }
  if (row.sign_in_ends_at !== null) {
    said.push(texts.life.signInEnds(reader.moment(row.sign_in_ends_at)));
  }
  return said.join(" ");
}

customElements.define("life-bar", LifeBar);

/** @returns {LifeBar} */
export function lifeBar() {
  return /** @type {LifeBar} */ (document.createElement("life-bar"));
}
