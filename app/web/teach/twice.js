/** A button for what cannot be undone: it is pressed twice. */
// @ts-check

import { el, speak } from "../basics/dom.js";

/**
 * @param {string} text
 * @param {string} question what it says after the first press; the second press is the answer
 * @param {() => unknown} act
 * @param {string} [name] what screen readers call it at first, where the text is too short for that
 */
export function twice(text, question, act, name) {
  let isArmed = false;
  const button = el("button", { type: "button", "aria-label": name }, text);
  /** @param {boolean} armed */
  const arm = (armed) => {
    isArmed = armed;
    button.textContent = armed ? question : text;
    button.ariaLabel = armed ? null : (name ?? null);
    button.classList.toggle("armed", armed);
  };
  button.addEventListener("click", () => {
    if (isArmed) act();
    else speak(`${question} Press again.`);
    arm(!isArmed);
  });
  button.addEventListener("blur", () => arm(false));
  return button;
}
