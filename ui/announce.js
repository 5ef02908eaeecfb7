// What is said aloud after a push: which servers' health changed, and nothing else.
//
// It must not speak at the first view, of times that run, or of a server that has just appeared.

import { texts } from "./texts.js";

/** @import { Part, View } from "./bindings/index.ts" */

/**
 * @param {View | null} before
 * @param {View} after
 * @param {(parts: readonly Part[]) => string} words a phrase as text
 * @returns {string} nothing where nothing changed
 */
export function changes(before, after, words) {
  const old = new Map(before?.rows.map((row) => [row.id, row.health]));
  return after.rows
    .filter((row) => old.has(row.id) && old.get(row.id) !== row.health)
    .map((row) => texts.spoken(row.title, words(row.phrase)))
    .join(". ");
}
