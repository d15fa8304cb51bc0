/** The task sheet: the lesson's tasks with their minutes and room to write, to print; the page checks the answers. */
// @ts-check

import { $, el } from "../basics/dom.js";
import { STEPS } from "./steps.js";

const MINUTES = [4, 8, 5, 4, 5, 7, 5, 7]; // of each step; 45 together

const tasks = STEPS.map(({ title, task }, i) =>
  el(
    "li",
    {},
    el("h2", {}, title, el("span", { class: "quiet" }, ` ${MINUTES[i]} minutes`)),
    el("p", {}, task),
    el("p", { class: "blank" }, "Answer: "),
    el("p", { class: "blank" }, "How do you know? "),
    el("p", { class: "check" }, el("a", { href: `../../?sample=chelsea&lesson=${i + 1}` }, `Check it in step ${i + 1}`)),
  ),
);
$("tasks").replaceChildren(...tasks);
$("print").addEventListener("click", () => print());
