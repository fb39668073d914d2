// Counting at the bins: signs of life, and a scanned label that is compared with the bin.

import { keepAlive, tellScans, timeForm } from "./lease.js";

const form = document.getElementById("count-form");
if (form) {
  const [label, said, counted] = ["label", "scanned", "counted"].map((id) => document.getElementById(id));
  document.getElementById("scan").hidden = false;
  keepAlive(form.dataset);
  timeForm(form);
  const check = (text) => {
    const isIt = text.trim() === form.dataset.bin;
    said.textContent = isIt ? "This is the bin." : `This is ${text.trim()}, not ${form.dataset.bin}: go on to the right one.`;
    said.className = isIt ? "note good" : "note bad";
    if (isIt) counted.focus();
  };
  tellScans((text) => { label.value = text; check(text); });
  label.addEventListener("change", () => { if (label.value) check(label.value); });
  label.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); check(label.value); } });
  label.focus();
}
