// A sign-in in progress: how far it is, whose name the page shows, what the browser will ask.
//
// It must not know the page's address: that goes to the clipboard when asked for, and nowhere else.

import { actButton, attribute, h, hide, optional } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts } from "../texts.js";
import { drawing } from "./lamp.js";

/** @import { Row, SigningIn } from "../bindings/index.ts" */

class SignInProgress extends HTMLElement {
  #grant = "";
  #stages = h("ol", { class: "stages", "aria-label": texts.signIn.label });
  #step = h("p", { class: "step" });
  #named = h("p");
  #comes = h("p");
  #copy = actButton(texts.signIn.copyLink, () => ({ act: "copy_link", grant: this.#grant }));
  #other = actButton(texts.signIn.otherWay, () => ({ act: "another_way", grant: this.#grant }), "quiet");

  connectedCallback() {
    if (!this.#step.isConnected) {
      const buttons = h("div", { class: "buttons" }, this.#copy, this.#other);
      this.append(this.#stages, this.#step, this.#named, this.#comes, buttons);
    }
  }

  /** @param {Row} row */
  show(row) {
    const now = row.sign_in;
    hide(this, now === null);
    if (now === null) {
      return;
    }
    this.#grant = row.id;
    const at = stage(now);
    reconcile(
      this.#stages,
      texts.signIn.stages.map((words, index) => ({ words, index })),
      ({ words }) => words,
      ({ words }) => h("li", {}, drawing("done", "icon tick"), h("span", {}, words)),
      (item, { index }) => {
        attribute(item, "data-done", index < at ? "" : null);
        attribute(item, "aria-current", index === at ? "step" : null);
      },
    );
    // While it waits, the row says so already.
    optional(this.#step, now.waiting ? null : texts.signIn.step(now.step));
    optional(this.#named, asks(now));
    optional(this.#comes, now.waiting ? (now.scheme ? texts.signIn.scheme : texts.signIn.loopback) : null);
    hide(this.#copy, !now.waiting);
    hide(this.#other, !now.other_way);
  }
}

/** Which of the three stages it is in. @param {SigningIn} now */
function stage(now) {
  if (now.waiting) {
    return 1;
  }
  return now.host === null ? 0 : 2;
}

/** @param {SigningIn} now */
function asks(now) {
  if (now.client_name === null || !now.waiting) {
    return null;
  }
  return now.host === null
    ? texts.signIn.named(now.client_name)
    : texts.signIn.namedAt(now.host, now.client_name);
}

customElements.define("sign-in-progress", SignInProgress);

/** @returns {SignInProgress} */
export function signInProgress() {
  return /** @type {SignInProgress} */ (document.createElement("sign-in-progress"));
}
