// The buttons. Orders are carried out one after the other, so that each is judged by what the one before has left.
let orders = Promise.resolve();
let carriedOut = 0; // how many

byId("pools").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {pool, backend, admin} = button.dataset;
  orders = orders.then(() => carryOut(pool, backend, admin)).catch(error =>
    answer(`${backend} is not set to ${admin}`, `${error.message}`, "Close"));
});

async function carryOut(pool, backend, admin) {
  const path = `/api/v1/pools/${encodeURIComponent(pool)}`;
  if (admin !== "ready" && isLast(await ask(path), backend)) {
    const text = `${backend} is the last usable backend of pool ${pool}. Set to ${admin}, it gets no new requests: visitors get ` +
      "503 Service Unavailable, or their site's maintenance page, until a backend is usable again.";
    if (!await answer("Take the last usable backend out?", text, "Cancel", `Set to ${admin}`)) return;
  }
  await ask(`${path}/backends/${encodeURIComponent(backend)}`,
    {method: "PUT", body: JSON.stringify({admin}), headers: {"Content-Type": "application/json"}});
  carriedOut++;
  refresh();
}

// serves tells whether requests may go to a backend: to one not checked yet they do if no other is usable.
const serves = b => b.admin === "ready" && b.active !== "down" && b.passive !== "ejected";

// isLast tells whether without a backend no other serves.
function isLast(pool, address) {
  return pool.backends.some(b => b.address === address && serves(b)) &&
    !pool.backends.some(b => b.address !== address && serves(b));
}

// answer shows a text until it is answered, and returns whether by yes, which may be left out.
function answer(title, text, no, yes) {
  const dialog = byId("dialog");
  setText(byId("dialog-title"), title);
  setText(byId("dialog-text"), text);
  setText(byId("dialog-no"), no);
  setText(byId("dialog-yes"), yes || "");
  byId("dialog-yes").hidden = !yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise(done => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), {once: true}));
}

byId("dialog-no").addEventListener("click", () => byId("dialog").close(""));
byId("dialog-yes").addEventListener("click", () => byId("dialog").close("yes"));
