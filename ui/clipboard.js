// Puts a text on the clipboard.
//
// It must not keep what it copied. A text that is still to come is copied within the click that asked
// for it where the engine allows that, since a click's permission is soon over. Read next: app.js.

import { texts } from "./texts.js";

/**
 * @param {string | Promise<string | null>} words null copies nothing
 * @returns {Promise<boolean>} whether there was anything to copy
 */
export async function copy(words) {
  if (typeof words !== "string" && typeof ClipboardItem === "function" && navigator.clipboard?.write) {
    const blob = words.then((told) => {
      if (told === null) {
        throw new Error(texts.nothingToCopy);
      }
      return new Blob([told], { type: "text/plain" });
    });
    try {
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
      return true;
    } catch (_refused) {
      // The plain way below finds out what is the matter, and fails with the act's own sentence.
    }
  }
  const told = await words;
  if (told === null) {
    return false;
  }
  await write(told);
  return true;
}

/** @param {string} words */
async function write(words) {
  try {
    await navigator.clipboard.writeText(words);
  } catch (_refused) {
    byHand(words);
  }
}

/**
 * The old way, for engines that refuse the new one. It fails with a sentence.
 * @param {string} words
 */
function byHand(words) {
  const field = document.createElement("textarea");
  field.value = words;
  field.className = "unseen";
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  if (!copied) {
    throw new Error(texts.noClipboard);
  }
}
