// Makes and updates elements. Texts become text nodes and attributes; nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element of the page with this id. */
export const at = (id) => document.getElementById(id);

/** A new element. Attributes that are null or false are left out; children are nodes or texts. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same of SVG. */
export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    mark(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets the text of a node, if it differs: what stays as it is is not read out again. */
export function write(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Sets an attribute, if it differs; null and false remove it. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (node.getAttribute(name) !== text) {
      node.setAttribute(name, text);
    }
  }
}

/** What `keyed` made, by parent and key. */
const made = new WeakMap();

/**
 * Shows one node for each item, in their order. `make` returns a node and a function that updates it; nodes stay while their
 * key does, so that focus and open details stay too.
 */
export function keyed(parent, items, keyOf, make) {
  const before = made.get(parent) ?? new Map();
  const now = new Map();
  items.forEach((item, place) => {
    let key = keyOf(item);
    while (now.has(key)) {
      key += " ";
    }
    const entry = before.get(key) ?? make(item);
    entry.update?.(item);
    now.set(key, entry);
    if (parent.children[place] !== entry.node) {
      parent.insertBefore(entry.node, parent.children[place] ?? null);
    }
  });
  for (const [key, entry] of before) {
    if (now.get(key) !== entry) {
      entry.node.remove();
    }
  }
  made.set(parent, now);
}

/** A row of a table whose first cell is its heading; `classes` are those of the cells. */
export function row(classes) {
  const cells = classes.map((name, place) =>
    element(place === 0 ? "th" : "td", { class: name || null, scope: place === 0 ? "row" : null }));
  const node = element("tr", {}, ...cells);
  return {
    node,
    set(texts) {
      texts.forEach((text, place) => write(cells[place], text));
    },
    cell: (place) => cells[place],
  };
}
