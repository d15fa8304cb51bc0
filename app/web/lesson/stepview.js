/** One step of the lesson: its text, what the networks here make of it, something to do, and where to see it. */
// @ts-check

import { el } from "../basics/dom.js";
import { firstFilter } from "../stage/pick.js";
import { worst } from "./checks.js";
import { curves } from "./curves.js";
import { figures, filled } from "./known.js";
import { termed } from "./terms.js";
import { toyView } from "./toyview.js";

/** @import { Place, Step } from "./steps.js" */

/** @param {Step} step @param {number} index from 1 @param {{ open: (step: number) => void, go: (place: Place) => void }} on */
export function stepView(step, index, on) {
  const body = el("div", { class: "step-body", id: `step-${index}`, hidden: true });
  const title = button(step.title, () => on.open(index), { "aria-controls": body.id });
  const facts = el("p", { class: "facts", hidden: true });
  const drawn = el("div");
  const said = el("p", { class: "said", role: "status" });
  return { title, root: el("li", { "data-step": index }, el("h3", {}, title), body), show };

  /** @param {boolean} isOpen */
  function show(isOpen) {
    if (isOpen && body.hidden) fill();
    title.ariaExpanded = String(isOpen);
    body.hidden = !isOpen;
  }

  function fill() {
    const [first, ...more] = step.places;
    const field = el("input", { type: "number", step: "any", class: "answer" });
    const answers = step.choices
      ? Object.entries(step.choices).map(([value, label]) => button(label, () => check(value)))
      : [step.ask && el("label", {}, step.ask, field), el("button", { class: "primary" }, "Check")];
    const buttons = el(
      "div",
      { class: "buttons" },
      ...answers,
      button("Show me", () => go(first)),
    );
    const task = el("form", { class: "task", "aria-label": "Something to do" }, el("p", {}, step.task), buttons, said);
    task.addEventListener("submit", (event) => {
      event.preventDefault();
      check((drawn.querySelector("input") ?? field).value);
    });
    const links = more.map((place) => button(place.label ?? "", () => go(place), { class: "link" }));
    said.textContent = "";
    body.replaceChildren(
      el("p", {}, ...termed(step.text)),
      facts,
      step.toy ? toyView(step.toy) : drawn,
      task,
      el("div", { class: "buttons" }, ...links),
      button("Next", () => on.open(index + 1), { class: "primary next" }),
    );
    fetchFigures();
  }

  /** What the networks here make of this step; without the service it is read without. */
  async function fetchFigures() {
    try {
      facts.textContent = step.facts ? await filled(step.facts) : "";
      const { history } = (step.curves && (await figures()).cnn) || {};
      if (history) drawn.replaceChildren(curves(history.epochs));
    } catch (error) {
      facts.textContent = `The figures of the networks here are missing. ${sentence(error)}`;
    }
    facts.hidden = !facts.textContent;
  }

  /** @param {string} given */
  async function check(given) {
    said.textContent = await step.check(given).catch(sentence);
    said.classList.toggle("right", said.textContent.startsWith("Yes"));
  }

  /** @param {Place} place */
  async function go(place) {
    const slider = place.curves && drawn.querySelector("input");
    if (!slider) return on.go(place);
    const { cnn } = await figures();
    const epoch = worst(cnn.history?.epochs ?? [])?.epoch;
    slider.value = String(epoch);
    slider.dispatchEvent(new Event("input"));
    slider.focus();
    if (cnn.kept_epochs !== null) on.go({ position: { stage: firstFilter(cnn), epoch } });
  }
}

/** @param {string} label @param {() => unknown} onclick @param {Record<string, string>} [attributes] */
const button = (label, onclick, attributes) => el("button", { type: "button", onclick, ...attributes }, label);

/** @param {unknown} error */
const sentence = (error) => (error instanceof Error ? error.message : String(error));
