const shownDiagnostics = 50;

// updateConfiguration shows which configuration is in force, and the diagnostics of it or of the refused one.
function updateConfiguration(status) {
  const last = status.last_reload, since = clock(status.config_in_force_since);
  const refused = last && !last.ok, found = last && last.diagnostics || [];
  setText(byId("reload-text"), refused ?
    `The reload at ${clock(last.time)} failed: lb still uses the configuration of ${since}.` : `Configuration in force since ${since}.`);
  setAttribute(byId("reload-text"), "class", refused ? "bad" : "soft");
  setHidden(byId("reload-link"), !refused);

  setText(byId("configuration-text"), `${status.config ? `${status.config}, in` : "In"} force since ${since}.`);
  setHidden(byId("refusal"), !refused);
  setHidden(byId("refusal-error"), !refused || found.some(d => d.severity === "error"));
  if (refused) {
    setText(byId("refusal"), `The reload at ${clock(last.time)} failed and changed nothing. Correct this and reload again:`);
    setText(byId("refusal-error"), last.error || "");
  }
  updateList(byId("diagnostics"), found.slice(0, shownDiagnostics).map((d, i) => ({...d, key: i + JSON.stringify(d)})),
    d => d.key, createDiagnostic, () => {});
  setHidden(byId("diagnostics-more"), found.length <= shownDiagnostics);
  setText(byId("diagnostics-more"), `And ${found.length - shownDiagnostics} more: lb check prints them all.`);
}

function setHidden(e, hidden) {
  if (e.hidden !== hidden) e.hidden = hidden;
}

// placeOf returns the place of a diagnostic, "" if it has none.
function placeOf(d) {
  return [d.file, d.line, d.column].filter(Boolean).join(":");
}

function createDiagnostic(d) {
  const place = placeOf(d);
  return element("li", {}, element("p", {}, ...place ? [element("code", {}, place), " "] : [],
    element("span", {class: d.severity === "error" ? "bad" : "warn"}, `${d.severity}: ${d.summary}`)),
    ...d.source ? [element("pre", {}, d.source)] : [], ...d.detail ? [element("p", {}, d.detail)] : []);
}
