// The review station: zoom, dots, keys and the next photo ahead. Without it the page is a photo and a form.

import Panzoom from "./panzoom.es.js";
import { FASTEST_MS, keepAlive, tellScans, timeForm } from "./lease.js";

function begin(bench) {
  const [viewer, sheet, photo, dots, form, counted, hint] =
    ["viewer", "sheet", "photo", "dots", "count-form", "counted", "hint"].map((id) => document.getElementById(id));
  keepAlive(bench.dataset);
  timeForm(form);
  tellScans((text, field) => {
    hint.textContent = `A scan (${text}) is no count: type the number.`;
    (field ?? counted).focus();
  });
  if (bench.dataset.next) new Image().src = bench.dataset.next;
  document.getElementById("tools").hidden = false;

  const fit = () => {  // as large as the window has room for, however small the file
    if (!photo.naturalWidth) return;
    viewer.classList.add("fits");
    photo.width = photo.naturalWidth * Math.min(viewer.clientWidth / photo.naturalWidth, viewer.clientHeight / photo.naturalHeight);
  };
  photo.addEventListener("load", fit);
  addEventListener("resize", fit);
  fit();
  const panzoom = Panzoom(sheet, { maxScale: 12, minScale: 0.5, cursor: "crosshair", step: 0.4, canvas: true });
  viewer.addEventListener("wheel", (event) => panzoom.zoomWithWheel(event), { passive: false });
  let turned = 0, light = 1;
  const show = () => { photo.style.filter = `brightness(${light})`; photo.style.rotate = `${turned}deg`; dots.style.rotate = `${turned}deg`; };

  const marks = [];
  const draw = () => {
    dots.replaceChildren(...marks.map(([x, y]) => {
      const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      dot.setAttribute("cx", `${100 * x}%`); dot.setAttribute("cy", `${100 * y}%`); dot.setAttribute("r", "6");
      return dot;
    }));
    document.getElementById("marks").value = JSON.stringify(marks);
    const use = document.getElementById("use-dots");
    use.hidden = marks.length === 0;
    use.textContent = `Take the ${marks.length} dot${marks.length === 1 ? "" : "s"}`;
    hint.textContent = marks.length ? `${marks.length} dot${marks.length === 1 ? "" : "s"} set.` : "Type the number, then Enter.";
  };
  let down = null;
  viewer.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
  viewer.addEventListener("pointerup", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 5) return;  // it was moved, not clicked
    const at = unturned(event, dots.getBoundingClientRect(), turned);
    if (at.every((share) => share >= 0 && share <= 1)) { marks.push(at); draw(); }
  });

  const act = {
    zoomIn: () => panzoom.zoomIn(), zoomOut: () => panzoom.zoomOut(),
    left: () => panzoom.pan(60, 0, { relative: true }), right: () => panzoom.pan(-60, 0, { relative: true }),
    up: () => panzoom.pan(0, 60, { relative: true }), down: () => panzoom.pan(0, -60, { relative: true }),
    rotate: () => { turned = (turned + 90) % 360; show(); },
    brighter: () => { light = Math.min(3, light + 0.25); show(); }, darker: () => { light = Math.max(0.25, light - 0.25); show(); },
    reset: () => { turned = 0; light = 1; show(); panzoom.reset({ animate: false }); },
    undot: () => { marks.pop(); draw(); },
    useDots: () => { if (marks.length) { counted.value = marks.length; counted.focus(); } },
    count: () => counted.focus(),
    takeBack: () => document.getElementById("take-back")?.click(),
    passOn: () => document.getElementById("reason").focus(),
    keys: () => document.getElementById("keys").showModal(),
  };
  document.getElementById("use-dots").addEventListener("click", act.useDots);
  document.getElementById("tools").addEventListener("click", (event) => act[event.target.closest("button")?.dataset.do]?.());
  shortcuts(viewer, act, counted);
}

/** Where on the photo a click fell, as shares of its width and height, however it is turned. */
function unturned(event, box, turned) {
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  const at = { 0: [x, y], 90: [y, 1 - x], 180: [1 - x, 1 - y], 270: [1 - y, x] }[turned];
  return at.map((share) => Math.round(share * 10000) / 10000);
}

const USUAL = {
  zoomIn: ["+", "zoom in"], zoomOut: ["-", "zoom out"], left: ["ArrowLeft", "look left"], right: ["ArrowRight", "look right"],
  up: ["ArrowUp", "look up"], down: ["ArrowDown", "look down"], rotate: ["r", "rotate"], brighter: ["b", "brighter"],
  darker: ["d", "darker"], reset: ["0", "as it was"], undot: ["Backspace", "remove the last dot"],
  useDots: ["Enter", "take the dots as the count"], count: ["c", "type the count"], takeBack: ["u", "take the last count back"],
  passOn: ["p", "pass the bin on"],
};

/** Keys that work while the photo has the focus, as this person set them; they can be turned off (WCAG 2.1.4).
 *  Each waits a moment: where the next comes at once, a scanner types, and none of its keys is meant. */
function shortcuts(viewer, act, counted) {
  const kept = JSON.parse(localStorage.getItem("binsight-keys") ?? "{}");
  const keys = Object.fromEntries(Object.entries(USUAL).map(([name, [key]]) => [name, kept.keys?.[name] ?? key]));
  let isOn = kept.isOn ?? true, last = -Infinity, waiting = null;
  const keep = () => localStorage.setItem("binsight-keys", JSON.stringify({ isOn, keys }));
  viewer.addEventListener("keydown", (event) => {
    if (!isOn || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = Object.keys(keys).find((one) => keys[one] === event.key);
    if (name) event.preventDefault();
    if (event.repeat) { if (name) act[name](); return; }
    const isFast = event.timeStamp - last < FASTEST_MS;
    last = event.timeStamp;
    clearTimeout(waiting);
    if (name && !isFast) waiting = setTimeout(act[name], FASTEST_MS + 15);
  });
  const on = document.getElementById("keys-on"), rows = document.querySelector("#keys-table tbody");
  on.checked = isOn;
  on.addEventListener("change", () => { isOn = on.checked; keep(); });
  const fill = () => rows.replaceChildren(...Object.entries(USUAL).map(([name, [, what]]) => {
    const row = document.createElement("tr"), words = document.createElement("td"), cell = document.createElement("td");
    const field = document.createElement("input");
    words.textContent = what;
    field.value = keys[name]; field.readOnly = true; field.setAttribute("aria-label", `Key to ${what}`);
    field.addEventListener("keydown", (event) => {
      if (["Tab", "Escape", "Shift"].includes(event.key)) return;
      event.preventDefault();
      const other = Object.keys(keys).find((one) => one !== name && keys[one] === event.key);
      if (other) keys[other] = keys[name];  // two that swap, so that no key means two things
      keys[name] = event.key;
      keep(); fill();
      rows.querySelector(`[aria-label="Key to ${what}"]`).focus();
    });
    cell.append(field); row.append(words, cell);
    return row;
  }));
  fill();
  document.getElementById("keys-reset").addEventListener("click", () => {
    for (const [name, [key]] of Object.entries(USUAL)) keys[name] = key;
    keep(); fill();
  });
  document.getElementById("keys").addEventListener("close", () => counted.focus());
}

const bench = document.getElementById("bench");
if (bench) begin(bench);
