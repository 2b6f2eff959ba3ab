const period = 1000; // milliseconds between updates
const longestPress = 1000; // updates wait at most so long for the pointer
let undrawn = null; // received and not shown yet
let pressed = 0; // when the pointer went down; 0: it is up
let lastNews = 0; // when the server last responded; 0: not yet
let totalsBefore = null;
let refreshing = false, again = false;

// refresh requests everything and shows it. Responses to requests from before a change may be out of date.
async function refresh() {
  again = true;
  if (refreshing) return;
  refreshing = true;
  while (again) {
    again = false;
    const before = changesMade;
    try {
      const [pools, status] = await Promise.all([ask("/api/v1/pools"), ask("/api/v1/status")]);
      lastNews = Date.now() + skew;
      if (before !== changesMade) again = true;
      else undrawn = {pools, status, now: performance.now()};
      setLost("");
    } catch (error) {
      setLost(`No response from lb ${lastNews ? `since ${clock(lastNews)}; the page shows that state` : "yet"} (${error.message}).`);
    }
    draw();
  }
  refreshing = false;
}

// draw shows what was received. It waits while the pointer is down, as rows that appear or disappear would move the button under it.
function draw() {
  if (!undrawn || pressed && performance.now() - pressed < longestPress) return;
  const {pools, status, now} = undrawn;
  undrawn = null;
  updatePools(pools, now);
  updateSummary(status, now);
  updateConfiguration(status);
  updateCertificates(status);
}

function updateSummary(status, now) {
  const total = status.totals;
  setText(byId("version"), status.version);
  setText(byId("summary"), `${status.ready ? "Ready" : "Not ready"}, up since ${clock(status.started)}; ` +
    `${total.requests.toLocaleString()} requests, ${rate(totalsBefore, total.requests, now)}/s, ${total.in_flight} in flight, ` +
    `${total.errors.toLocaleString()} with 5xx.`);
  totalsBefore = {requests: total.requests, now};
}

// setLost shows that the page is not current; "" that it is.
function setLost(text) {
  setText(byId("lost"), text);
  setHidden(byId("lost"), !text);
  setHidden(byId("summary"), !!text);
  byId("pools").classList.toggle("stale", !!text);
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, period);
}

addEventListener("pointerdown", () => { pressed = performance.now(); }, true);
for (const up of ["pointerup", "pointercancel"]) {
  addEventListener(up, () => { pressed = 0; setTimeout(draw); }, true); // after the click
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
  listen();
});
poll();
listen();
