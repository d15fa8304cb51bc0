/** "That's wrong": the right class is chosen and sent with the photo; it can be taken back. */
// @ts-check

import * as api from "../api.js";
import { el, speak } from "../basics/dom.js";
import { shortVerdict } from "../basics/words.js";
import { showTrouble } from "../message.js";

/** @import { Photo, Prediction } from "../types.js" */

/** @typedef {{ photo: Photo, prediction: Prediction }} Answered a photo with what was said of it */

/**
 * Ask for the right class, in place of the button that was pressed.
 *
 * @param {HTMLElement} root holds that button
 * @param {Answered} answered
 */
export function ask(root, answered) {
  const before = [...root.childNodes];
  const { label, verdict, probabilities } = answered.prediction;
  const names = Object.keys(probabilities).filter((name) => name !== label || verdict !== label);
  const chips = names.map((name) =>
    el("button", { type: "button", class: "chip", onclick: () => send(root, before, answered, name) }, shortVerdict(name)),
  );
  const cancel = el("button", { type: "button", class: "link", onclick: () => back(root, before) }, "Cancel");
  const question = el("p", { id: "right-class" }, "What does it show?");
  root.replaceChildren(
    question,
    el("div", { class: "chips", role: "group", "aria-labelledby": question.id }, ...chips, cancel),
  );
  (chips[0] ?? cancel).focus();
}

/**
 * @param {HTMLElement} root
 * @param {Node[]} before
 */
function back(root, before) {
  root.replaceChildren(...before);
  root.querySelector("button")?.focus();
}

/**
 * @param {HTMLElement} root
 * @param {Node[]} before
 * @param {Answered} answered
 * @param {string} label
 */
async function send(root, before, answered, label) {
  const { photo, prediction } = answered;
  const { network, version } = prediction.model;
  const body = new FormData();
  body.append("file", photo.file, photo.name);
  root.setAttribute("aria-busy", "true");
  try {
    const { id } = await (await api.request("corrections", { label, network, version }, { method: "POST", body })).json();
    const undo = el("button", { type: "button", class: "link", onclick: () => takeBack(root, before, id) }, "Undo");
    said(root, `Thank you: kept as “${shortVerdict(label)}”, with the photo. `, undo);
    undo.focus();
  } catch (error) {
    if (!(error instanceof api.Refusal) || error.status === 401) return showTrouble(error, () => ask(root, answered));
    const away = el("button", { type: "button", class: "link", onclick: () => back(root, before) }, "Close");
    const off = `Corrections are not kept here, so nothing was sent on or stored. (${error.message}) `;
    said(root, error.status === 404 ? off : `${error.message} `, away);
    away.focus();
  } finally {
    root.removeAttribute("aria-busy");
  }
}

/**
 * @param {HTMLElement} root
 * @param {Node[]} before
 * @param {string} id
 */
async function takeBack(root, before, id) {
  try {
    await api.request(`corrections/${encodeURIComponent(id)}`, {}, { method: "DELETE" });
    back(root, before);
    speak("Taken back: the correction is deleted.");
  } catch (error) {
    showTrouble(error);
  }
}

/**
 * @param {HTMLElement} root
 * @param {string} sentence
 * @param {HTMLElement} button
 */
function said(root, sentence, button) {
  root.replaceChildren(el("p", {}, sentence, button));
  speak(sentence);
}
