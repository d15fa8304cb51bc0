/** The act "Teach": photos by class come in; a network that tells the classes apart is taught, and its result is shown. */
// @ts-check

import * as address from "../address.js";
import * as api from "../api.js";
import { Refusal, superseded } from "../api.js";
import { $, el, find, speak } from "../basics/dom.js";
import { styled } from "../basics/sheet.js";
import { showMessage, showTrouble } from "../message.js";
import { Classes } from "./classes.js";
import { go } from "./door.js";
import { begin, cancel, follow, named } from "./job.js";
import { Kept } from "./kept.js";
import { Progress } from "./progress.js";

/** @import { Job, Sent, Taught } from "./types.js" */

const LEAD =
  "Show it photos of two or more things, and it learns to tell them apart, in about a minute: your cat and the neighbour’s, " +
  "three kinds of flowers, a part that is whole and one that is not. It then answers, with its evidence for each.";

const CORRECT =
  "“That’s wrong” beside an answer keeps its photo with the right class, where whoever runs this service allows that. " +
  "What is kept so, and what the network was unsure of, can be looked through here.";

/** @type {() => Promise<void>} asks anew which networks are served */
let list = async () => {};
let teaching = new AbortController(); // ends the upload, or the questions about a job
/** @type {string} the job that is followed or shown */
let known = "";
/** @type {Sent} */
let sent = new Map();

const network = el("input", { type: "text", id: "teach-name", maxlength: 60, spellcheck: "false", placeholder: "taught" });
const missing = el("p", { class: "missing quiet", id: "teach-missing", role: "status" });
const button = el("button", { type: "button", class: "primary", "aria-describedby": missing.id, onclick: start }, "Teach");
const classes = new Classes(update);
const progress = new Progress(stop);
const kept = new Kept({ look, change: changed });
const failed = el("p", { class: "failed", role: "alert", hidden: true });
const shown = el("div");
const off = el("p", { class: "teach-off", hidden: true });
const review = el(
  "button",
  { type: "button", "aria-expanded": "false", onclick: openReview },
  "Review what was wrong or unsure",
);
const reviewed = el("div");
const reviewing = el("section", { class: "review", "aria-labelledby": "review-title" });
const body = el(
  "div",
  { class: "teach-body" },
  classes.root,
  el("div", { class: "go" }, el("label", { for: network.id }, "Name of the network"), network, button, missing),
  progress.root,
  failed,
  shown,
  kept.root,
);
reviewing.append(el("h3", { id: "review-title" }, "Correct it"), el("p", { class: "quiet" }, CORRECT), review, reviewed);
const title = el("h2", { id: "teach-title", tabindex: -1 }, "Teach it your own");
const lead = el("p", { class: "lead" }, LEAD);
const root = el("section", { id: "teach", class: "act", "aria-labelledby": title.id }, title, lead, off, body, reviewing);

find(document, "main").append(root);
classes.begin();

/**
 * Open or close the act, as the address says.
 *
 * @param {boolean} isOpen
 * @param {() => Promise<void>} refresh asks anew which networks are served
 */
export async function show(isOpen, refresh) {
  list = refresh;
  const isNew = root.hidden || !root.dataset.opened;
  root.hidden = !isOpen;
  find(document, ".skip", HTMLAnchorElement).href = isOpen ? "#teach-title" : "#answer";
  classes.listen(isOpen);
  if (!isOpen) return;
  await styled(import.meta.url, "teach.css");
  if (isNew && root.dataset.opened) title.focus();
  root.dataset.opened = "true";
  await load();
}

/** Ask what is kept; follow the job that the address names. */
async function load() {
  try {
    /** @type {Taught} */
    const taught = await (await api.request("teach", {}, {})).json();
    kept.show(taught);
    body.hidden = false;
    off.hidden = true;
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) return showTrouble(error, load);
    body.hidden = true;
    off.hidden = false;
    off.textContent =
      "Teaching is off here: this service has no folder to keep networks in. Whoever runs it switches it on with the " +
      `setting CATSCOPE_STORE. (${error.message})`;
    return;
  }
  const job = address.parameter("teach");
  if (job && job !== known) attend(job);
}

/** Say what is missing, and whether it can be taught. */
function update() {
  missing.textContent = classes.missing() || classes.advice();
  button.setAttribute("aria-disabled", String(Boolean(classes.missing())));
}

async function start() {
  const wanting = classes.missing();
  if (wanting) {
    speak(wanting);
    classes.show();
    return;
  }
  const photos = classes.photos();
  sent = named(photos);
  quiet();
  progress.show("Sending the photos", 0);
  progress.cancel.focus();
  const { signal } = teaching;
  try {
    const job = await begin(photos, sent, network.value.trim().replace(/\s+/g, "-"), {
      onSent: (share) => share < 1 && progress.show("Sending the photos", share),
      signal,
    });
    address.writeParameter("teach", job.job);
    await attend(job.job);
  } catch (error) {
    fail(error, start);
  }
}

/** Nothing is said of an earlier job any more. */
function quiet() {
  teaching.abort();
  teaching = new AbortController();
  known = "";
  failed.hidden = true;
  shown.replaceChildren();
  showMessage("");
  button.disabled = true;
}

/**
 * Follow a job, and show how it ends.
 *
 * @param {string} name
 */
async function attend(name) {
  if (known === name) return;
  quiet();
  known = name;
  try {
    const job = await follow(name, step, teaching.signal);
    progress.hide();
    button.disabled = false;
    if (job.state === "done") await done(job);
    else ended(job);
  } catch (error) {
    fail(error, () => attend(name));
  }
}

/** @param {Job} job */
function step({ state, progress: share }) {
  if (state === "waiting") progress.show("Waiting until another network is taught", null);
  if (state === "running") progress.show("Learning", share);
}

/** @param {Job} job */
async function done(job) {
  if (!job.metrics) throw new TypeError(`The job ${job.job} is done and has no metrics.`);
  const { result } = await import("./result.js");
  shown.replaceChildren(result(job, job.metrics, { look, sent }));
  const heading = $("taught-title");
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ block: "start" });
  speak(`${job.network} is taught. ${find(shown, ".figure").textContent}`);
  network.value = ""; // a name can be taught once
  await changed();
}

/** @param {Job} job */
function ended({ state, error }) {
  const cause = state === "cancelled" ? "Cancelled: nothing was kept of it." : (error ?? "It could not be taught.");
  say(`${cause} Your photos are still here.`);
}

/** @param {string} sentence */
function say(sentence) {
  failed.textContent = sentence;
  failed.hidden = false;
  button.focus();
}

/**
 * @param {unknown} error
 * @param {() => void} again
 */
function fail(error, again) {
  if (superseded(error)) return;
  progress.hide();
  button.disabled = false;
  known = "";
  if (error instanceof Refusal && error.status !== 401) say(`${error.message} Your photos are still here.`);
  else showTrouble(error, again);
}

/** The visitor cancels. */
async function stop() {
  const job = known;
  if (!job) {
    teaching.abort();
    progress.hide();
    button.disabled = false;
    say("Cancelled before all photos were sent. They are still here.");
    return;
  }
  try {
    await cancel(job);
  } catch (error) {
    showTrouble(error);
  }
}

/** Another network is served, or one is not any more. */
async function changed() {
  await list();
  await load();
}

/**
 * Leave for the walk, with a network and a photo.
 *
 * @param {string} name
 * @param {File} [file]
 */
async function look(name, file) {
  try {
    await list();
    const nowhere = { stage: null, channel: null, row: null, column: null };
    go(location.pathname + address.fragment({ network: name, ...nowhere }));
    scrollTo(0, 0);
    $("answer").focus();
    if (!file) return;
    const transfer = new DataTransfer();
    transfer.items.add(file);
    const page = $("file", HTMLInputElement); // the page's own way for a photo
    page.files = transfer.files;
    page.dispatchEvent(new Event("change"));
  } catch (error) {
    showTrouble(error);
  }
}

/** Open the review, or close it. */
async function openReview() {
  const isOpen = review.ariaExpanded === "true";
  review.ariaExpanded = String(!isOpen);
  reviewed.replaceChildren();
  if (isOpen) return;
  try {
    await api.request("corrections", { limit: 1 }, {});
    const [{ Review }, { networks }] = await Promise.all([import("../correct/review.js"), api.networks()]);
    const opened = new Review(networks.map((one) => one.network));
    reviewed.replaceChildren(opened.root);
    await opened.open();
    opened.card.focus();
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) return showTrouble(error, openReview);
    review.ariaExpanded = "false";
    reviewed.replaceChildren(el("p", { class: "teach-off" }, `Corrections are not kept here. ${error.message}`));
    speak(error.message);
  }
}
