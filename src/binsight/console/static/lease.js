// What both places of counting need: signs of life, how long a count took, and typing told from scanning.

const root = document.body.dataset.root;
const csrf = document.querySelector("meta[name=csrf]").content;

/** So long after the last touch, key or look, nobody is taken to be at a page: a full bin takes minutes to count. */
const GONE_MS = 10 * 60 * 1000;

/** Keep the tasks of this page, by their tokens, while somebody is at it, and give them back when it is left for good. */
export function keepAlive({ lease, tokens }) {
  const body = new URLSearchParams([["csrf", csrf], ...tokens.split(" ").map((token) => ["token", token])]);
  const alive = () => fetch(root + "/alive", { method: "POST", body }).catch(() => {});
  let seen = Date.now();
  const isGone = () => Date.now() - seen > GONE_MS;
  const look = () => {
    const wasGone = isGone();
    seen = Date.now();
    if (wasGone) alive();  // they are still this person's where nobody else was given them
  };
  for (const sign of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
    addEventListener(sign, look, { capture: true, passive: true });
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  alive();  // a page that was loaded anew: its predecessor says that it leaves only after this one has come
  setTimeout(alive, 2000);  // and that may be on its way still
  setInterval(() => { if (!isGone()) alive(); }, (1000 * Number(lease)) / 3);
  let goesOn = false;
  document.addEventListener("submit", () => { goesOn = true; });
  document.addEventListener("click", (event) => { if (event.target.closest("a")) goesOn = false; });
  addEventListener("pagehide", () => {
    if (!goesOn) navigator.sendBeacon(root + "/leave", body);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

/** Write the seconds since the page was shown into the form as it is sent, and send it once. */
export function timeForm(form) {
  const began = performance.now();
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) { event.preventDefault(); return; }
    sent = true;
    form.querySelector("#seconds").value = ((performance.now() - began) / 1000).toFixed(1);
  });
}

/** Between two keys of a person lie more milliseconds. */
export const FASTEST_MS = 35;

/** Have `onScan` get what a scanner types into the page: four characters or more, faster than any person, then Enter.
 *  What it typed into a field is taken out again, and its Enter sends nothing. */
export function tellScans(onScan, { fastest = FASTEST_MS, least = 4 } = {}) {
  let typed = "", last = 0, before = null, field = null;
  document.addEventListener("keydown", (event) => {
    const isFast = event.timeStamp - last < fastest;
    last = event.timeStamp;
    if (event.key === "Enter" && isFast && typed.length >= least) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (field) field.value = before;
      onScan(typed, field);
      typed = "";
      return;
    }
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) { if (event.key !== "Shift") typed = ""; return; }
    if (!isFast || !typed) {
      typed = "";
      field = event.target.matches("input, select, textarea") ? event.target : null;
      before = field ? field.value : null;
    }
    typed += event.key;
  }, true);
}
