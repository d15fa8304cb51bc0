/** The lesson beside the page. Its step is in the address, ?lesson=3; it can be read before there is any answer. */
// @ts-check

import * as address from "../address.js";
import { $, el, find } from "../basics/dom.js";
import { CHELSEA } from "../photo.js";
import { markMode } from "../teach/door.js";
import { NETWORK } from "./known.js";
import { STEPS } from "./steps.js";
import { stepView } from "./stepview.js";
import { dismissible } from "./terms.js";

/** @import { Place } from "./steps.js" */

const narrow = matchMedia("(max-width: 64rem)"); // where the lesson is a sheet over the page; lesson.css has it, too
const PULL = 24; // pixels by which a finger has to pull the sheet

let current = 0; // the step, 1 to 8; 0 while the lesson is closed
let isUp = true; // the sheet
const views = STEPS.map((step, i) => stepView(step, i + 1, { open: choose, go }));
const title = el("h2", {}, "How a network sees");
const sheet = el("p", {}, el("a", { href: "web/lesson/sheet.html" }, "A task sheet for 45 minutes, to print"));
const body = el("div", { id: "lesson-body" }, title, el("ol", {}, ...views.map((view) => view.root)), sheet);
const handle = el("button", { type: "button", class: "handle", "aria-controls": body.id });
const root = el("aside", { id: "lesson", "aria-label": "Lesson" }, handle, body);
const links = [...document.querySelectorAll("a")].filter(({ dataset }) => ["look", "learn"].includes(dataset.mode ?? ""));

find(document, "header").after(root);
dismissible(root);
for (const link of links) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a link, after all
    event.preventDefault();
    if (link.dataset.mode === "look") choose(0);
    else if (current) pull(true);
    else choose(1);
  });
}
addEventListener("popstate", arrive);
narrow.addEventListener("change", () => pull(isUp));
let pressedAt = 0; // the handle is pressed, or pulled by a finger
handle.addEventListener("pointerdown", (event) => {
  pressedAt = event.clientY;
  handle.setPointerCapture(event.pointerId);
});
handle.addEventListener("pointerup", ({ clientY: y }) => pull(Math.abs(y - pressedAt) < PULL ? !isUp : y < pressedAt));
handle.addEventListener("click", ({ detail }) => detail || pull(!isUp)); // by keyboard
arrive();

/** Open the step that the address names, or close. */
function arrive() {
  const given = Number(address.parameter("lesson"));
  open(given >= 1 ? Math.min(Math.floor(given), STEPS.length) : 0);
}

/** @param {number} step */
function open(step) {
  const isNew = step !== current;
  current = step;
  root.hidden = !step;
  document.body.classList.toggle("learning", step > 0);
  for (const [i, view] of views.entries()) view.show(i + 1 === step);
  markMode();
  if (isNew) pull(true);
}

/** The visitor opens a step, or closes the lesson with 0; reading goes on at its title. @param {number} step */
export function choose(step) {
  address.writeParameter("lesson", step ? String(step) : null);
  open(step);
  views[step - 1]?.title.focus({ preventScroll: true });
  views[step - 1]?.root.scrollIntoView();
}

/** Lead the page to a place in the walk. The sheet goes down, so that the place can be seen. @param {Place} place */
function go({ position, chelsea }) {
  pull(false);
  const photo = chelsea || $("picture").hidden ? CHELSEA : null;
  const nowhere = { stage: null, channel: null, row: null, column: null, epoch: null };
  address.lead({ network: NETWORK, ...nowhere, ...position, photo, model: null });
}

/** Pull the sheet up or down. Beside the page, on wide screens, the lesson is always up. @param {boolean} up */
function pull(up) {
  isUp = up || !narrow.matches;
  root.classList.toggle("down", !isUp);
  body.inert = !isUp;
  handle.ariaExpanded = String(isUp);
  handle.textContent = `${current} ${STEPS[current - 1]?.title}`;
}
