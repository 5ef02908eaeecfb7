// What an opened row shows: facts, the strip of what happened, and everything that can be done.
//
// It must not hide what is unknown behind a dash: what is not known has no line. Read next: past.js.

import { actButton, h, optional, text } from "../dom.js";
import { reconcile } from "../reconcile.js";
import { texts, who } from "../texts.js";
import { fillButtons } from "./buttons.js";
import { pastStrip } from "./past.js";
import { signOutQuestion } from "./sign-out.js";

/** @import { Row } from "../bindings/index.ts" */
/** @import { Shown } from "./page.js" */
/** @import { Reader } from "../time.js" */

class ServerDetails extends HTMLElement {
  #grant = "";
  #reason = h("p", { class: "reason" });
  #facts = h("dl", { class: "facts" });
  #strip = pastStrip();
  #offered = h("div", { class: "offered" });
  #diagnostics = actButton(
    texts.details.copyDiagnostics,
    () => ({ act: "copy_diagnostics", grant: this.#grant }),
    "quiet",
  );
  #signOut = signOutQuestion();

  constructor() {
    super();
    this.addEventListener("sign-out", () => this.#signOut.ask());
  }

  connectedCallback() {
    if (!this.#facts.isConnected) {
      const buttons = h("div", { class: "buttons" }, this.#offered, this.#diagnostics);
      this.append(this.#reason, this.#facts, this.#strip, buttons, this.#signOut.root);
    }
  }

  /** @param {Row} row @param {Shown} shown */
  show(row, shown) {
    this.#grant = row.id;
    optional(this.#reason, row.reason);
    reconcile(
      this.#facts,
      facts(row, shown.reader),
      ([name]) => name,
      ([name]) => h("div", {}, h("dt", {}, name), h("dd")),
      (line, [, words]) => text(/** @type {Element} */ (line.lastElementChild), words),
    );
    this.#strip.show(shown.view.past[row.id] ?? [], shown.reader);
    fillButtons(this.#offered, row, row.buttons.slice(1), shown.view.update_command, "plain");
    this.#signOut.show(row);
  }

  /** Puts the question away, with nobody signed out; whether it was asked. */
  leave() {
    const was = this.#signOut.leave();
    if (was) {
      /** @type {HTMLElement | null} */ (this.#offered.querySelector("[data-button=sign_out]"))?.focus();
    }
    return was;
  }
}

/**
 * @param {Row} row
 * @param {Reader} reader
 * @returns {[string, string][]}
 */
function facts(row, reader) {
  const say = texts.details;
  const signedIn = row.expires_at !== null || row.last_renewal_at !== null;
  /** @param {number | null} at */
  const both = (at) => (at === null ? null : reader.both(at));
  const last =
    row.last_renewal_at === null
      ? null
      : say.lastBy(reader.both(row.last_renewal_at), who(row.renewed_by, row.client));
  const next = signedIn && !row.has_refresh_token ? say.cannotRenew : both(row.next_renewal_at);
  /** @type {[string, string | null][]} */
  const all = [
    [say.server, row.url],
    [say.account, row.account],
    [say.issuer, row.issuer],
    [say.scopes, row.scopes.length > 0 ? row.scopes.join(", ") : null],
    [say.tools, row.tools === null ? null : say.toolCount(row.tools, reader.number(row.tools))],
    [say.tokenEnds, both(row.expires_at)],
    [say.next, next],
    [say.last, last],
    [say.signInEnds, both(row.sign_in_ends_at) ?? (signedIn ? say.signInEndsUnknown : null)],
    [say.name, row.id],
  ];
  return /** @type {[string, string][]} */ (all.filter(([, words]) => words !== null));
}

customElements.define("server-details", ServerDetails);

/** @returns {ServerDetails} */
export function serverDetails() {
  return /** @type {ServerDetails} */ (document.createElement("server-details"));
}
