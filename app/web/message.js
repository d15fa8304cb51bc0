/** Messages above everything else, and the form that asks for a missing API key. */
// @ts-check

import { Refusal, superseded, useKey } from "./api.js";
import { $ } from "./basics/dom.js";

/**
 * Show a sentence; an "alert" interrupts a screen reader, a "notice" waits. An empty text removes both.
 *
 * @param {string} text
 * @param {"alert" | "notice"} [where]
 */
export function showMessage(text, where = "alert") {
  for (const id of ["alert", "notice"]) {
    $(id).textContent = id === where ? text : "";
    $(id).hidden = !$(id).textContent;
  }
}

/**
 * Show an error as a sentence. If the API key is missing, ask for it; `again` then tries once more.
 *
 * @param {unknown} error
 * @param {() => void} [again]
 */
export function showTrouble(error, again) {
  if (superseded(error)) return;
  const isRefusal = error instanceof Refusal;
  if (!isRefusal) console.error(error);
  const text = error instanceof Error ? error.message : String(error);
  showMessage(isRefusal ? text : `This is a bug in the page: ${text}`);
  if (!isRefusal || error.status !== 401) return;
  const form = $("key-form");
  const field = $("key", HTMLInputElement);
  form.hidden = false;
  form.onsubmit = (event) => {
    event.preventDefault();
    useKey(field.value);
    form.hidden = true;
    again?.();
  };
  field.focus();
}
