// Children follow a list by key, and whoever has the focus stays where they are.

import assert from "node:assert/strict";
import { test } from "node:test";

import { reconcile } from "../../../ui/reconcile.js";
import { Tree } from "./tree.mjs";

/** A parent that shows these items, each a letter. */
function shown(letters) {
  const tree = new Tree();
  const parent = tree.element("parent");
  const show = (items) =>
    reconcile(
      parent,
      [...items],
      (item) => item.toLowerCase(),
      (item) => tree.element(item),
      (node, item) => (node.item = item),
    );
  const names = () => parent.children.map((child) => child.item).join("");
  const node = (letter) => parent.children.find((child) => child.item.toLowerCase() === letter);
  show(letters);
  tree.moved = [];
  return { tree, parent, show, names, node };
}

test("children come, go and change places with the list", () => {
  const { show, names } = shown("abc");
  for (const list of ["cab", "c", "", "xyz", "zxyab"]) {
    show(list);
    assert.equal(names(), list);
  }
});

test("an item that stays keeps its node and is filled anew", () => {
  const { show, node, names } = shown("abc");
  const before = node("b");
  show("cBa");
  assert.equal(node("b"), before);
  assert.equal(names(), "cBa");
});

test("nothing is touched where nothing changed", () => {
  const { tree, show } = shown("abcde");
  show("abcde");
  assert.deepEqual(tree.moved, []);
});

test("a doubled key gets a node of its own", () => {
  const { show, names, parent } = shown("ab");
  show("abab");
  assert.equal(names(), "abab");
  assert.equal(new Set(parent.children).size, 4);
});

test("the node that holds the focus is never moved, whatever the order becomes", () => {
  const orders = permutations("abcd");
  for (const from of orders) {
    for (const to of orders) {
      for (const focused of "abcd") {
        const { tree, show, names, node } = shown(from);
        tree.activeElement = node(focused);
        show(to);
        assert.equal(names(), to);
        assert.ok(tree.activeElement === node(focused), `${focused} lost it from ${from} to ${to}`);
        assert.ok(!tree.moved.includes(focused), `${focused} was moved from ${from} to ${to}`);
      }
    }
  }
});

test("the focus deep inside a node holds the node as well", () => {
  const { tree, show, node } = shown("abc");
  const button = tree.element("button");
  node("c").insertBefore(button, null);
  tree.activeElement = button;
  show("cxba");
  assert.equal(tree.activeElement, button);
});

test("a node that goes takes the focus with it", () => {
  const { tree, show, names, node } = shown("abc");
  tree.activeElement = node("b");
  show("ca");
  assert.equal(names(), "ca");
  assert.equal(tree.activeElement, null);
});

function permutations(letters) {
  if (letters.length < 2) {
    return [letters];
  }
  return [...letters].flatMap((letter) => permutations(letters.replace(letter, "")).map((rest) => letter + rest));
}
