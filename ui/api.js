// The door to the shell: one subscription, one verb.
//
// It must not know what a view or an act means. A test or `tests/page/dev` puts a fake behind the door with
// `setInstance` before `app.js` is loaded. Read next: app.js.

import { texts } from "./texts.js";

/** @import { Act, View } from "./bindings/index.ts" */

/**
 * Who answers the page.
 * @typedef {object} Instance
 * @property {(see: (view: View) => void) => Promise<unknown>} subscribe sends the current view at once, then every new one
 * @property {(act: Act) => Promise<string | null>} act resolves to a text to copy, or null; rejects with a sentence to show
 * @property {() => number} now the reader's clock, in milliseconds since 1970
 */

/**
 * What Tauri puts on the window.
 * @typedef {object} TauriCore
 * @property {(command: string, args: object) => Promise<any>} invoke
 * @property {new () => { onmessage: (view: View) => void }} Channel
 */

/** @type {Instance | null} */
let instance = null;

/**
 * Puts another instance behind the door.
 * @param {Instance} other
 */
export function setInstance(other) {
  instance = other;
}

/** @returns {Instance} */
export function api() {
  instance ??= tauri();
  return instance;
}

/** @returns {Instance} */
function tauri() {
  const core = /** @type {{ __TAURI__?: { core: TauriCore } }} */ (window).__TAURI__?.core;
  if (!core) {
    throw new Error(texts.noShell);
  }
  return {
    subscribe(see) {
      const channel = new core.Channel();
      channel.onmessage = see;
      return core.invoke("subscribe", { channel });
    },
    act: (act) => core.invoke("act", { act }),
    now: () => Date.now(),
  };
}
