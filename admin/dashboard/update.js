"use strict";
// The page is updated in place: elements stay as long as what they show, and only differences are written. So clicks hit
// their target, and selections, the focus and scroll positions stay.

const byId = id => document.getElementById(id);

// element makes an element with attributes and children. Data from the server is inserted as text, never as markup.
function element(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// leaf makes an element that setText writes to.
function leaf(name, attributes = {}) {
  return element(name, attributes, document.createTextNode(""));
}

// setText writes a text if it differs. A text in which a selection begins or ends stays until the selection ends, as
// writing would change it.
function setText(e, text) {
  if (!e.firstChild) e.append("");
  const node = e.firstChild, selection = getSelection();
  if (node.data === text) return;
  if (!selection.isCollapsed && (selection.anchorNode === node || selection.focusNode === node)) return;
  node.data = text;
}

// setAttribute writes an attribute if it differs; null removes it.
function setAttribute(e, name, value) {
  if (value === null) e.removeAttribute(name);
  else if (e.getAttribute(name) !== value) e.setAttribute(name, value);
}

const lists = new WeakMap(); // the elements of each list, by key

// updateList gives parent one element for each item, in order. An element stays as long as its key does.
function updateList(parent, items, keyOf, create, update) {
  const before = lists.get(parent) ?? new Map(), now = new Map();
  for (const item of items) {
    const key = keyOf(item), e = before.get(key) ?? create(item);
    update(e, item);
    now.set(key, e);
  }
  for (const [key, e] of before) if (!now.has(key)) e.remove();
  let next = parent.firstChild;
  for (const e of now.values()) {
    if (e === next) next = next.nextSibling;
    else place(parent, e, next);
  }
  lists.set(parent, now);
}

// place moves an element before next, and keeps the focus.
function place(parent, e, next) {
  if (e.isConnected && parent.moveBefore) {
    parent.moveBefore(e, next);
    return;
  }
  const focused = e.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(e, next);
  if (focused) focused.focus({preventScroll: true});
}

let skew = 0; // of the server's clock to this one, in milliseconds

// ask returns a response of the API. Its errors are for people.
async function ask(path, options = {}) {
  const timeout = options.method ? 10000 : 3000;
  const response = await fetch(path, {headers: {Accept: "application/json"}, signal: AbortSignal.timeout(timeout), ...options});
  if (response.status === 401) { location.assign("/login"); throw new Error("the session has ended"); }
  const ahead = Date.parse(response.headers.get("Date")) - Date.now();
  if (Math.abs(ahead - skew) > 2000) skew = ahead; // the field is in whole seconds
  const body = await response.json();
  if (!response.ok) throw new Error(body.error || response.statusText);
  return body;
}

function ago(time) {
  const s = Math.max(0, (Date.now() + skew - Date.parse(time)) / 1000);
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

// clock returns a time of today without its date.
function clock(time) {
  const t = new Date(time);
  return t.toDateString() === new Date().toDateString() ? t.toLocaleTimeString() : t.toLocaleString();
}
