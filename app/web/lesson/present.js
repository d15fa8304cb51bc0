/** Presenting, ?present=walk: one act at a time, large, without what is around it; Page Down and Page Up turn the acts. */
// @ts-check

import * as address from "../address.js";
import { $, el, find } from "../basics/dom.js";

const ACTS = ["answer", "walk", "why"];

let act = Math.max(0, ACTS.indexOf(address.parameter("present") ?? ""));
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
    act = Math.min(ACTS.length - 1, Math.max(0, act + by));
    for (const [i, id] of ACTS.entries()) $(id).classList.toggle("off", i !== act);
    where.textContent = `${act + 1} of ${ACTS.length}`;
    address.writeParameter("present", ACTS[act]);
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
