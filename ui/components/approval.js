// Both hosts side by side, where a server signs in at another address now: Trust, or don't.
//
// Nothing is trusted by opening it, by Esc or by leaving; the safe answer comes first.

import { actButton, attribute, button, h, text, unique } from "../dom.js";
import { texts } from "../texts.js";

/** @import { Row } from "../bindings/index.ts" */

class NewAddressReview extends HTMLElement {
  #grant = "";
  #new = "";
  #title = h("h3", { id: unique("review") });
  #known = h("dd");
  #now = h("dd");
  #dont = button(texts.approval.dont, () => this.dispatchEvent(new CustomEvent("leave", { bubbles: true })));
  #trust = actButton("", () => ({ act: "trust", grant: this.#grant, now: this.#new }));

  connectedCallback() {
    if (!this.#title.isConnected) {
      attribute(this, "role", "group");
      attribute(this, "aria-labelledby", this.#title.id);
      this.append(
        this.#title,
        h(
          "dl",
          { class: "hosts" },
          h("div", {}, h("dt", {}, texts.approval.known), this.#known),
          h("div", {}, h("dt", {}, texts.approval.now), this.#now),
        ),
        h("p", {}, texts.approval.words),
        h("div", { class: "buttons" }, this.#dont, this.#trust),
      );
    }
  }

  /** @param {Row} row */
  show(row) {
    this.#grant = row.id;
    if (row.approval) {
      text(this.#title, texts.approval.title(row.title));
      text(this.#known, row.approval.known);
      this.#new = row.approval.now;
      text(this.#now, this.#new);
      text(this.#trust, texts.approval.trust(this.#new));
    }
  }

  /** Puts the focus on the safe answer. */
  begin() {
    this.#dont.focus();
  }
}

customElements.define("new-address-review", NewAddressReview);

/** @returns {NewAddressReview} */
export function newAddressReview() {
  return /** @type {NewAddressReview} */ (document.createElement("new-address-review"));
}
