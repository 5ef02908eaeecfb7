// What is said aloud: changes of health, and nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";

import { changes } from "../../../ui/announce.js";

const row = (id, health, phrase = health) => ({ id, title: id.toUpperCase(), health, phrase: [phrase] });
const said = (before, after) => changes(before && { rows: before }, { rows: after }, (parts) => parts.join(""));

test("the first view is not read out", () => {
  assert.equal(said(null, [row("a", "healthy")]), "");
});

test("a change of health is told with the server's name", () => {
  assert.equal(said([row("a", "healthy")], [row("a", "offline")]), "A: offline");
});

test("several changes are one sentence after the other", () => {
  const before = [row("a", "healthy"), row("b", "healthy"), row("c", "healthy")];
  const after = [row("a", "offline"), row("b", "healthy"), row("c", "paused")];
  assert.equal(said(before, after), "A: offline. C: paused");
});

test("words that change with the clock, and servers that come or go, are not told", () => {
  const before = [row("a", "healthy", "renews in 3 h"), row("gone", "healthy")];
  const after = [row("a", "healthy", "renews in 2 h"), row("new", "healthy")];
  assert.equal(said(before, after), "");
});
