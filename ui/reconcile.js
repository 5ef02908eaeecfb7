// Makes the children of a parent match a list, by key, and keeps every node that stays.
//
// It must not take a node that holds the focus out of the document, not even to move it: whoever
// types or listens there would be thrown out. The others move around it. A parent belongs to one
// caller alone. Read next: tests/page/unit/reconcile.test.mjs.

/** @type {WeakMap<Element, string>} */
const keys = new WeakMap();

/**
 * @template Item
 * @template {Element} Node
 * @param {Element} parent
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} key what an item is known by; a doubled one gets a node of its own
 * @param {(item: Item) => Node} make an empty node for a new key
 * @param {(node: Node, item: Item) => void} update fills a node, new or old
 */
export function reconcile(parent, items, key, make, update) {
  const old = new Map(Array.from(parent.children, (child) => [keys.get(child), child]));
  /** @type {Set<string>} */
  const seen = new Set();
  const wanted = items.map((item) => {
    let name = key(item);
    while (seen.has(name)) {
      name += "~";
    }
    seen.add(name);
    const node = /** @type {Node} */ (old.get(name) ?? make(item));
    keys.set(node, name);
    update(node, item);
    return node;
  });

  const kept = new Set(/** @type {Element[]} */ (wanted));
  for (const child of Array.from(parent.children)) {
    if (!kept.has(child)) {
      child.remove();
    }
  }

  const focused = parent.ownerDocument.activeElement;
  const held = wanted.findIndex((node) => node.parentNode === parent && node.contains(focused));
  const still = held < 0 ? wanted.length : held;
  place(parent, wanted.slice(0, still), wanted[still] ?? null);
  place(parent, wanted.slice(still + 1), null);
}

/**
 * Puts nodes in their order right before another, or at the end; moves only those out of place.
 * @param {Element} parent
 * @param {Element[]} nodes
 * @param {Element | null} before
 */
function place(parent, nodes, before) {
  let next = before;
  for (const node of nodes.reverse()) {
    if (node.parentNode !== parent || node.nextSibling !== next) {
      parent.insertBefore(node, next);
    }
    next = node;
  }
}
