// The buttons. Changes are made one after the other, so that each check sees the result of the change before it.
let changes = Promise.resolve();
let changesMade = 0;

byId("pools").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {pool, backend, admin} = button.dataset;
  changes = changes.then(() => change(pool, backend, admin)).catch(error =>
    showDialog(`${backend} was not set to ${admin}`, `${error.message}`, "Close"));
});

async function change(pool, backend, admin) {
  const path = `/api/v1/pools/${encodeURIComponent(pool)}`;
  if (admin !== "ready" && isLast(await ask(path), backend)) {
    const text = `${backend} is the last usable backend of pool ${pool}. Set to ${admin}, it gets no new requests: visitors get ` +
      "503 Service Unavailable, or their site's maintenance page, until a backend is usable again.";
    if (!await showDialog("Take out the last usable backend?", text, "Cancel", `Set to ${admin}`)) return;
  }
  await ask(`${path}/backends/${encodeURIComponent(backend)}`,
    {method: "PUT", body: JSON.stringify({admin}), headers: {"Content-Type": "application/json"}});
  changesMade++;
  refresh();
}

// serves reports whether requests may go to a backend; one that has not been checked yet counts.
const serves = b => b.admin === "ready" && b.active !== "down" && b.passive !== "ejected";

// isLast reports whether no other backend serves.
function isLast(pool, address) {
  return pool.backends.some(b => b.address === address && serves(b)) &&
    !pool.backends.some(b => b.address !== address && serves(b));
}

// showDialog shows a text until the dialog is closed, and returns whether with yes. Without a text for yes there is no such button.
function showDialog(title, text, no, yes) {
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
