// One server: lamp, name, phrase, the token's life, the likeliest button; opened, everything else.
//
// It must not decide what can be done: `row.buttons` says. A row remembers only whether it is open
// and whether both hosts are being looked at. Read next: details.js.

import { attribute, h, hide, text, unique } from "../dom.js";
import { newAddressReview } from "./approval.js";
import { fillButtons } from "./buttons.js";
import { serverDetails } from "./details.js";
import { drawing, lamp } from "./lamp.js";
import { lifeBar } from "./life.js";
import { signInProgress } from "./sign-in.js";

/** @import { Row } from "../bindings/index.ts" */
/** @import { Shown } from "./page.js" */

class ServerRow extends HTMLElement {
  /** @type {{ row: Row, shown: Shown } | null} */
  #last = null;
  #open = false;
  #reviewing = false;
  #lamp = lamp();
  #name = h("span", { class: "name" });
  #phrase = h("p", { class: "phrase", id: unique("phrase") });
  #toggle = h("button", { type: "button", class: "toggle", "aria-expanded": "false" });
  #likeliest = h("div", { class: "likeliest" });
  #life = lifeBar();
  #signIn = signInProgress();
  #review = newAddressReview();
  #details = serverDetails();

  constructor() {
    super();
    this.#toggle.append(this.#lamp, this.#name);
    this.#toggle.addEventListener("click", () => this.open(!this.#open));
    this.addEventListener("review", () => {
      this.review();
      this.#review.begin();
    });
    this.addEventListener("leave", () => this.leave());
    this.#details.id = unique("details");
    hide(this.#details, true);
    hide(this.#review, true);
  }

  connectedCallback() {
    if (!this.#toggle.isConnected) {
      attribute(this, "role", "listitem");
      attribute(this.#toggle, "aria-controls", this.#details.id);
      attribute(this.#toggle, "aria-describedby", this.#phrase.id);
      const head = h("div", { class: "head" }, this.#toggle, this.#likeliest, drawing("open", "icon chevron"));
      this.append(h("div", { class: "top" }, head, this.#phrase), this.#life, this.#signIn, this.#review, this.#details);
    }
  }

  /** What has the row's own focus. */
  get toggle() {
    return this.#toggle;
  }

  /** What a person most likely came for: the button if it stands out, so that Enter can't cancel or renew by mistake. */
  get first() {
    return /** @type {HTMLElement} */ (this.#likeliest.querySelector(".primary") ?? this.#toggle);
  }

  /** @param {Row} row @param {Shown} shown */
  show(row, shown) {
    this.#last = { row, shown };
    attribute(this, "data-grant", row.id);
    attribute(this, "data-health", row.health);
    attribute(this, "data-shape", row.shape);
    this.#lamp.show(row.shape);
    text(this.#name, row.title);
    text(this.#phrase, shown.reader.phrase(row.phrase));
    fillButtons(this.#likeliest, row, row.buttons.slice(0, 1), shown.view.update_command, look(row));
    this.#life.show(row, shown.reader);
    this.#signIn.show(row);
    this.#reviewing &&= row.approval !== null;
    hide(this.#review, !this.#reviewing);
    if (this.#reviewing) {
      this.#review.show(row);
    }
    hide(this.#details, !this.#open);
    if (this.#open) {
      this.#details.show(row, shown);
    }
    attribute(this, "data-open", this.#open ? "" : null);
    attribute(this.#toggle, "aria-expanded", String(this.#open));
  }

  /** @param {boolean} open */
  open(open) {
    this.#open = open;
    this.#again();
  }

  /** Shows both hosts, where there are two. */
  review() {
    this.#reviewing = true;
    this.#again();
  }

  /** Puts what is asked away, with nothing trusted and nobody signed out; whether there was any. */
  leave() {
    if (this.#details.leave()) {
      return true;
    }
    const was = this.#reviewing;
    this.#reviewing = false;
    this.#again();
    if (was) {
      this.first.focus();
    }
    return was;
  }

  #again() {
    if (this.#last) {
      this.show(this.#last.row, this.#last.shown);
    }
  }
}

/** A button that a person is waited for stands out; one that is only there stands back. @param {Row} row */
function look(row) {
  if (row.shape === "alert") {
    return "primary";
  }
  return row.shape === "lit" ? "quiet" : "plain";
}

customElements.define("server-row", ServerRow);

/** @returns {ServerRow} */
export function serverRow() {
  return /** @type {ServerRow} */ (document.createElement("server-row"));
}
