// As much of a document as `reconcile` uses, for Node; it writes down what was moved.

/** What may be at work in a tree. */
export class Tree {
  activeElement = null;
  moved = [];

  element(name, ...children) {
    const element = new Branch(this, name);
    children.forEach((child) => element.insertBefore(child, null));
    this.moved = [];
    return element;
  }
}

class Branch {
  childNodes = [];
  parentNode = null;

  constructor(ownerDocument, name) {
    this.ownerDocument = ownerDocument;
    this.name = name;
  }

  get children() {
    return [...this.childNodes];
  }

  get nextSibling() {
    const siblings = this.parentNode?.childNodes ?? [];
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }

  contains(other) {
    return other === this || this.childNodes.some((child) => child.contains(other));
  }

  remove() {
    if (this.contains(this.ownerDocument.activeElement)) {
      this.ownerDocument.activeElement = null;
    }
    const siblings = this.parentNode?.childNodes ?? [];
    siblings.splice(siblings.indexOf(this), 1);
    this.parentNode = null;
  }

  insertBefore(node, before) {
    this.ownerDocument.moved.push(node.name);
    if (node.parentNode) {
      node.remove();
    }
    const at = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    if (at < 0) {
      throw new Error(`${before.name} is no child of ${this.name}`);
    }
    this.childNodes.splice(at, 0, node);
    node.parentNode = this;
  }
}
