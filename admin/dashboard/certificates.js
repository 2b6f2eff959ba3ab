const certificateClass = {valid: "soft", expiring: "warn", pending: "warn", failed: "bad", broken: "warn", not_yet_valid: "bad", expired: "bad"};

// updateCertificates shows the certificates that clients get, the one that expires first before the others.
function updateCertificates(status) {
  const all = status.certificates || [];
  setHidden(byId("certificates-section"), all.length === 0);
  updateList(byId("certificates"), all.map((c, i) => ({...c, key: `${i} ${c.subject}`})), c => c.key, createCertificate, updateCertificate);
}

function createCertificate() {
  return element("li", {}, leaf("b"), " ", leaf("span"), " ", leaf("small", {class: "soft"}));
}

function updateCertificate(e, c) {
  const [subject, state, details] = e.children;
  setText(subject, c.subject);
  setAttribute(state, "class", certificateClass[c.state] || "warn");
  const end = c.not_after ? `, ${c.state === "expired" ? "since" : "until"} ${new Date(c.not_after).toLocaleString()}` : "";
  setText(state, c.state.replaceAll("_", " ") + end + (c.error ? `: ${c.error}` : ""));
  setText(details, [c.names.filter(name => name !== c.subject).join(", "), c.issuer && `issued by ${c.issuer}`, c.acme ? "ACME" : c.file].filter(Boolean).join("; "));
}
