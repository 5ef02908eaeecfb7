// The one question before a sign-out: what goes, what is asked of the server, the safe answer first.
//
// It must not decide whether there is anything to sign out of: the row's buttons do. Read next:
// details.js.

import { actButton, attribute, button, h, hide, text, unique } from "../dom.js";
import { texts } from "../texts.js";

/** @import { Row } from "../bindings/index.ts" */

const say = texts.signOut;

export function signOutQuestion() {
  let grant = "";
  const title = h("h4", { id: unique("sign-out") });
  const words = h("p", {});
  const no = button(say.no, () => root.dispatchEvent(new CustomEvent("leave", { bubbles: true })));
  const yes = actButton(say.yes, () => ({ act: "sign_out", grant }));
  const root = h("div", { class: "sure", role: "group" }, title, words, h("div", { class: "buttons" }, no, yes));
  attribute(root, "aria-labelledby", title.id);
  hide(root, true);
  /** @param {Row} row */
  const show = (row) => {
    grant = row.id;
    text(title, say.title(row.title));
    text(words, say.words(row.client, row.title));
    if (!row.buttons.includes("sign_out")) {
      hide(root, true);
    }
  };
  const ask = () => {
    hide(root, false);
    no.focus();
  };
  /** Puts the question away; whether it was asked. */
  const leave = () => {
    const was = !root.hidden;
    hide(root, true);
    return was;
  };
  return { root, show, ask, leave };
}
