const shownEvents = 100;
const eventsById = new Map(); // the oldest first
let source = null;

// listen receives the last events and new ones. A hidden page does not, as browsers open few connections to a server.
function listen() {
  if (source) source.close();
  source = null;
  if (document.hidden) return;
  const opened = source = new EventSource(`/api/v1/events?recent=${shownEvents}`);
  opened.addEventListener("backend", event => addEvent(event, backendEvent));
  opened.addEventListener("reload", event => addEvent(event, reloadEvent));
  opened.addEventListener("error", () => { // it reconnects by itself, but not after a response that is no stream
    if (opened.readyState === EventSource.CLOSED) setTimeout(() => { if (source === opened) listen(); }, 2000);
  });
}

// addEvent adds an event at the top of the list, once.
function addEvent(event, describe) {
  if (eventsById.has(event.lastEventId)) return;
  const data = JSON.parse(event.data), [text, kind] = describe(data);
  const e = element("li", {}, element("time", {datetime: data.time, class: "soft"}, clock(data.time)), " ",
    element("span", kind ? {class: kind} : {}, text));
  eventsById.set(event.lastEventId, e);
  byId("events").prepend(e);
  byId("quiet").hidden = true;
  if (eventsById.size > shownEvents) {
    const [id, oldest] = eventsById.entries().next().value;
    oldest.remove();
    eventsById.delete(id);
  }
}

function backendEvent(e) {
  return [`${e.backend ? `${e.pool} ${e.backend}` : e.pool}: ${e.from} → ${e.to}${e.reason ? ` (${e.reason})` : ""}`, ""];
}

function reloadEvent(e) {
  if (e.ok) return ["configuration in force", ""];
  const errors = (e.diagnostics || []).filter(d => d.severity === "error");
  if (!errors.length) return [`reload failed: ${e.error}`, "bad"];
  return [`reload refused: ${placeOf(errors[0])} ${errors[0].summary}${errors.length > 1 ? `, and ${errors.length - 1} more` : ""}`, "bad"];
}
