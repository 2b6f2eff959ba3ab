// The columns of a pool's table, with the class of their cells.
const columns = [
  ["backend", "name"], ["state", "state"], ["weight", "n"], ["in flight", "n"], ["req/s", "n"], ["requests", "n"],
  ["errors", "n"], ["average", "n"], ["last check", "check"], ["set to", "set"],
];

const admins = ["ready", "drain", "maint"];
const parts = new WeakMap(); // the elements of a pool or a row that are updated, by name

function createPool(p) {
  const name = leaf("h2"), facts = leaf("span"), trouble = leaf("span", {class: "bad"});
  const body = element("tbody", {role: "rowgroup"});
  const head = element("tr", {role: "row"}, ...columns.map(([title, kind]) =>
    element("th", {role: "columnheader", scope: "col", class: kind}, title)));
  // The elements have these roles anyway, but lose them where the style shows rows as cards.
  const table = element("table", {role: "table", "aria-label": `backends of pool ${p.name}`},
    element("thead", {role: "rowgroup"}, head), body);
  setText(name, p.name);
  const e = element("section", {class: "pool"}, name, element("p", {class: "facts soft"}, facts, trouble),
    element("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": `table of pool ${p.name}`}, table));
  parts.set(e, {facts, trouble, body});
  return e;
}

function updatePool(e, p, now) {
  const {facts, trouble, body} = parts.get(e);
  const usable = p.backends.filter(b => b.usable).length;
  setText(facts, `${p.balance}, ${usable} of ${p.backends.length} usable${p.waiting ? `, ${p.waiting} waiting` : ""}`);
  setText(trouble, p.tier === "none" ? ", requests get 503" : p.panic ? ", panic: unusable backends are used, too" : "");
  updateList(body, p.backends, b => b.address, b => createRow(p.name, b), (row, b) => updateRow(row, b, now));
}

function createRow(pool, b) {
  const p = {
    state: leaf("span"), since: leaf("span", {class: "soft"}), reason: leaf("small"),
    weight: leaf("span"), configured: leaf("small"), inFlight: leaf("span"), rate: leaf("span"), requests: leaf("span"),
    errors: leaf("span"), average: leaf("span"),
    check: leaf("span"), checked: leaf("span", {class: "soft"}), checkError: leaf("small"), before: null,
    buttons: admins.map(admin => {
      const button = element("button", {type: "button", "aria-label": `set ${b.address} of pool ${pool} to ${admin}`}, admin);
      Object.assign(button.dataset, {key: `${pool} ${b.address} ${admin}`, pool, backend: b.address, admin});
      return button;
    }),
  };
  const name = leaf("th", {role: "rowheader", scope: "row", class: "name"});
  setText(name, b.address);
  const contents = [[p.state, p.since, p.reason], [p.weight, p.configured], [p.inFlight], [p.rate], [p.requests], [p.errors],
    [p.average], [p.check, p.checked, p.checkError], p.buttons];
  const row = element("tr", {role: "row"}, name, ...contents.map((children, i) => {
    const [title, kind] = columns[i + 1];
    return element("td", {role: "cell", class: kind, "data-title": title}, ...children);
  }));
  parts.set(row, p);
  return row;
}

function updateRow(row, b, now) {
  const p = parts.get(row), change = b.cause || b.last_change, check = b.last_check;
  setText(p.state, stateOf(b));
  setAttribute(p.state, "class", kindOf(b));
  setText(p.since, change ? `, ${ago(change.time)}` : "");
  setText(p.reason, change ? change.reason : "");
  setAttribute(p.reason, "title", change ? change.reason : null); // it may be truncated
  setText(p.weight, String(b.weight));
  setText(p.configured, b.configured_weight ? `configured: ${b.configured_weight}` : "");
  setText(p.inFlight, b.in_flight + (b.max_conns ? ` / ${b.max_conns}` : ""));
  setText(p.rate, rate(p.before, b.requests, now));
  p.before = {requests: b.requests, now};
  setText(p.requests, b.requests.toLocaleString());
  setText(p.errors, b.errors.toLocaleString());
  setText(p.average, b.ewma_ms ? `${b.ewma_ms.toFixed(1)} ms` : "–");
  setText(p.check, !check ? "none" : check.ok ? `passed in ${check.duration_ms.toFixed(1)} ms` : "failed");
  setAttribute(p.check, "class", !check ? "soft" : check.ok ? "good" : "bad");
  setText(p.checked, check ? `, ${ago(check.time)}` : "");
  setText(p.checkError, check && check.error || "");
  setAttribute(p.checkError, "title", check && check.error || null);
  for (const button of p.buttons) setAttribute(button, "aria-pressed", String(button.dataset.admin === b.admin));
}

function stateOf(b) {
  return b.state + (b.passive === "trial" ? ", on trial" : "") + (b.flapping ? ", flapping" : "") + (b.backup ? ", backup" : "");
}

function kindOf(b) {
  if (b.usable) return b.passive === "ok" ? "good" : "warn";
  return b.admin !== "ready" || b.active === "unknown" ? "warn" : "bad";
}

// rate returns the requests per second since the last count.
function rate(before, requests, now) {
  if (!before || requests < before.requests || now <= before.now) return "–";
  const r = (requests - before.requests) * 1000 / (now - before.now);
  return r.toLocaleString(undefined, {maximumFractionDigits: r < 10 ? 1 : 0});
}

function updatePools(pools, now) {
  updateList(byId("pools"), pools, p => p.name, createPool, (e, p) => updatePool(e, p, now));
}
