"use strict";
const period = 1000;
const seen = new Map(); // "pool backend" -> {requests, time}, to show rates
const byId = id => document.getElementById(id);

// Whatever comes from the server goes in as text, never as markup.
function element(name, properties, ...children) {
  const e = Object.assign(document.createElement(name), properties);
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ""));
  return e;
}

async function get(path) {
  const answer = await fetch(path, {headers: {Accept: "application/json"}});
  if (answer.status === 401) { location.assign("/login"); throw new Error("log in"); }
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

async function set(pool, backend, admin) {
  try {
    const path = `/api/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(backend)}`;
    const answer = await fetch(path, {method: "PUT", body: JSON.stringify({admin}),
      headers: {"Content-Type": "application/json"}});
    if (!answer.ok) throw new Error((await answer.json()).error);
    await refresh();
  } catch (error) { byId("trouble").textContent = `Cannot set ${backend} to ${admin}: ${error.message}`; }
}

function ago(time) {
  const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

function rate(key, requests, now) {
  const before = seen.get(key);
  seen.set(key, {requests, now});
  if (!before || requests < before.requests || now <= before.now) return "–";
  const r = (requests - before.requests) * 1000 / (now - before.now);
  return r.toLocaleString(undefined, {maximumFractionDigits: r < 10 ? 1 : 0});
}

function stateOf(b) {
  const kind = b.usable ? (b.passive === "ok" ? "good" : "warn") : (b.admin !== "ready" || b.active === "unknown" ? "warn" : "bad");
  const name = b.state + (b.passive === "trial" ? ", on trial" : "") + (b.flapping ? ", flapping" : "") + (b.backup ? ", backup" : "");
  const change = b.last_change;
  const reason = change ? `${change.reason ? change.reason + ", " : ""}${ago(change.time)}` : "";
  return element("td", {}, element("span", {className: kind}, name), reason && element("small", {}, reason));
}

function checkOf(b) {
  const c = b.last_check;
  if (!c) return element("td", {className: "soft"}, "none");
  const text = c.ok ? `passed in ${c.duration_ms} ms` : "failed";
  return element("td", {}, element("span", {className: c.ok ? "good" : "bad"}, text),
    element("small", {}, [c.error, ago(c.time)].filter(Boolean).join(", ")));
}

function buttons(pool, b) {
  return element("td", {}, ...["ready", "drain", "maint"].filter(a => a !== b.admin).map(a => {
    const button = element("button", {type: "button"}, a);
    button.dataset.key = `${pool} ${b.address} ${a}`;
    button.setAttribute("aria-label", `set ${b.address} of pool ${pool} to ${a}`);
    button.addEventListener("click", () => set(pool, b.address, a));
    return button;
  }));
}

function row(pool, b, now) {
  const number = text => element("td", {className: "n"}, String(text));
  return element("tr", {}, element("th", {scope: "row"}, b.address), stateOf(b),
    number(b.weight + (b.configured_weight ? ` (configured ${b.configured_weight})` : "")),
    number(b.in_flight + (b.max_conns ? ` / ${b.max_conns}` : "")),
    number(rate(`${pool} ${b.address}`, b.requests, now)), number(b.requests.toLocaleString()),
    number(b.errors.toLocaleString()), number(b.ewma_ms ? `${b.ewma_ms.toFixed(1)} ms` : "–"), checkOf(b), buttons(pool, b));
}

const columns = ["backend", "state", "weight", "in flight", "req/s", "requests", "errors", "average", "last check", "set to"];

function table(p, now) {
  const usable = p.backends.filter(b => b.usable).length;
  const title = element("h2", {}, p.name, element("span", {className: "soft"},
    ` ${p.balance}, ${usable} of ${p.backends.length} usable${p.waiting ? `, ${p.waiting} waiting` : ""}`));
  if (p.panic) title.append(element("span", {className: "bad"}, " panic: too few are usable, all are used"));
  return element("section", {}, title, element("div", {className: "scroll"}, element("table", {},
    element("thead", {}, element("tr", {}, ...columns.map((c, i) =>
      element("th", {scope: "col", className: i > 1 && i < 8 ? "n" : ""}, c)))),
    element("tbody", {}, ...p.backends.map(b => row(p.name, b, now))))));
}

async function refresh() {
  const now = performance.now();
  const pools = await get("/api/v1/pools");
  const focus = document.activeElement && document.activeElement.dataset.key;
  byId("pools").replaceChildren(...pools.map(p => table(p, now)));
  if (focus) for (const b of document.querySelectorAll("button")) if (b.dataset.key === focus) b.focus();
  let text = `${pools.length} pools`;
  try {
    const s = await get("/api/v1/status");
    byId("version").textContent = s.version;
    const total = s.totals;
    text = `${s.ready ? "taking traffic" : "not ready"}, up since ${new Date(s.started).toLocaleString()}; ` +
      `${total.requests.toLocaleString()} requests, ${rate("", total.requests, now)}/s, ${total.in_flight} in flight, ` +
      `${total.errors.toLocaleString()} answered 5xx`;
  } catch { /* the status is an extra */ }
  byId("summary").textContent = text;
}

async function poll() {
  if (!document.hidden) {
    try { await refresh(); byId("trouble").textContent = ""; }
    catch (error) { byId("trouble").textContent = `No news from lb: ${error.message}`; }
  }
  setTimeout(poll, period);
}

function addEvent(text) {
  byId("quiet").hidden = true;
  byId("events").prepend(element("li", {}, text));
  while (byId("events").children.length > 50) byId("events").lastChild.remove();
}

function listen() {
  const source = new EventSource("/api/v1/events");
  source.addEventListener("backend", event => {
    const e = JSON.parse(event.data);
    addEvent(`${new Date(e.time).toLocaleTimeString()} ${e.pool} ${e.backend || ""}: ${e.from} → ${e.to}${e.reason ? ` (${e.reason})` : ""}`);
  });
  source.addEventListener("reload", event => {
    const e = JSON.parse(event.data);
    addEvent(`${new Date(e.time).toLocaleTimeString()} ${e.ok ? "configuration reloaded" : `reload refused: ${e.error}`}`);
  });
}

poll();
listen();
