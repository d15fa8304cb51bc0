/** Presenting, ?present=walk: one act at a time, large, without what is around it; Page Down and Page Up turn the acts. */
// @ts-check

import * as address from "../address.js";
import { $, el, find } from "../basics/dom.js";

const ACTS = ["answer", "walk", "learned", "why"];

let act = ACTS.find((id) => id === address.parameter("present")) ?? ACTS[0];
if (address.parameter("present") !== null) present();

function present() {
  const where = el("span", {});
  const bar = el(
    "nav",
    { class: "presenting", "aria-label": "Acts" },
    el("button", { type: "button", "aria-label": "Previous act", onclick: () => turn(-1) }, "‹"),
    where,
    el("button", { type: "button", "aria-label": "Next act", onclick: () => turn(1) }, "›"),
    el("button", { type: "button", onclick: end }, "End"),
  );
  document.documentElement.classList.add("present");
  find(document, "main").after(bar);
  addEventListener("keydown", key);
  turn(0);

  /** @param {number} by */
  function turn(by) {
    const acts = ACTS.filter((id) => id === act || id !== "learned" || !$(id).hidden); // not every network has its epochs
    const index = Math.min(acts.length - 1, Math.max(0, acts.indexOf(act) + by));
    act = acts[index];
    for (const id of ACTS) $(id).classList.toggle("off", id !== act);
    where.textContent = `${index + 1} of ${acts.length}`;
    address.writeParameter("present", act);
    scrollTo(0, 0);
  }

  /** @param {KeyboardEvent} event */
  function key(event) {
    const by = { PageDown: 1, PageUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    turn(by);
  }

  function end() {
    document.documentElement.classList.remove("present");
    for (const id of ACTS) $(id).classList.remove("off");
    bar.remove();
    removeEventListener("keydown", key);
    address.writeParameter("present", null);
  }
}
