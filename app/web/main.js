/** The conductor: a photo comes in, the three acts are shown in turn, and the position in the address is followed. */
// @ts-check

import * as answer from "./acts/answer.js";
import * as guises from "./acts/guises.js";
import { sentence as measured } from "./acts/measured.js";
import * as ribbon from "./acts/ribbon.js";
import * as address from "./address.js";
import * as api from "./api.js";
import { $, fade, find, onShortcut } from "./basics/dom.js";
import { Second } from "./beside/door.js";
import { Door } from "./learned/door.js";
import { showMessage, showTrouble } from "./message.js";
import { CHELSEA, listen, savesData } from "./photo.js";
import { offer } from "./served.js";
import { firstFilter } from "./stage/pick.js";
import { StageView } from "./stage/stage.js";
import { Surgery } from "./surgery/surgery.js";
import { openWalk, takeAway } from "./takeaway.js";
import * as teach from "./teach/door.js";
import { answerOf, forget, standIn, taken, uploaded } from "./upload.js";

/** @import { Expected, Guises, NetworkDetail, Networks, Photo, PickedPhoto, Position, Prediction } from "./types.js" */
/** @import { Unit } from "./stage/units.js" */

const OPACITY = 0.8;
const WRONG_FILE = [413, 415, 422]; // what the service says of a file that it cannot answer

/** @typedef {{ predict?: Prediction, unit?: Unit | null, guises?: Guises }} Answers the newest of each */

const state = {
  /** @type {Networks} */
  models: { default: "", networks: [], kept: { photos: "nothing", days: 0 } },
  isReady: false, // whether the list of networks has arrived
  /** @type {Position} */
  position: address.read(),
  /** @type {Photo | null} */
  photo: null,
  /** @type {Expected | null} what a replayed walk promises */
  expected: null,
  opacity: OPACITY,
  follow: false, // whether the position came with a link or a walk, so that the page scrolls to it
  /** @type {Answers} */
  answers: {},
  /** @type {{ photo: Photo, position: Position } | null} the last that was answered, until the next one is */
  answered: null,
  asking: new AbortController(), // aborts every request about the previous photo and network
  /** @type {StageView | null} */
  view: null,
};

const surgery = new Surgery(state);
const learned = new Door(state);
const second = new Second(state);
const chooser = $("network", HTMLSelectElement);
const openSample = listen({ onPhoto: setPhoto, onWalk: openAgain, onTrouble: showMessage });

start();

async function start() {
  try {
    await list();
    state.isReady = true;
  } catch (error) {
    showTrouble(error, start);
    return;
  }
  showMessage("");
  arrive();
  if (state.photo) ask();
  else if (!state.expected && !openSample(`${address.parameter("sample")}.jpg`) && !savesData()) openSample(CHELSEA);
}

/** Ask what is served, and offer it. */
async function list() {
  state.models = await api.networks();
  offer(state.models, state.position.network);
}

const networks = () => state.models.networks.map(({ network }) => network);

/** Take the position from the address; `quiet`: without promises. Returns whether the photo that it names is being opened. */
function arrive(quiet = false) {
  const { photo, model, ...position } = address.read();
  const wanted = position.network ?? (address.parameter("lesson") && "tutorial"); // the lesson is about the chapter's CNN
  const network = networks().find((name) => name === wanted) ?? state.models.default;
  state.position = { ...position, network };
  chooser.value = network;
  state.follow = Boolean(position.stage) || position.epoch !== null;
  if (!photo || photo === state.answers.predict?.image.sha256) return false;
  state.expected = { photo, model, probability: null, quiet };
  if (openSample(photo)) return true;
  const begins = photo.slice(0, 12);
  showMessage(`This link is about the photo whose SHA-256 begins with ${begins}. Drop that photo here to follow it.`);
  return false;
}

/** @param {PickedPhoto} picked */
function setPhoto(picked) {
  if (state.answers.predict && state.photo) state.answered = { photo: state.photo, position: { ...state.position } };
  else if (state.photo) forget(state.photo);
  if (!state.expected && state.photo) Object.assign(state.position, { channel: null, row: null, column: null });
  state.photo = taken(picked);
  if (state.isReady) ask();
}

/**
 * The file is no photo that can be answered: return to the one that was, if there is one, and say what the file is.
 *
 * @param {{ photo: Photo, position: Position }} answered
 * @param {Photo} wrong
 * @param {Error} error
 */
async function returnTo({ photo, position }, wrong, { message }) {
  forget(wrong);
  Object.assign(state, { photo, position, answered: null });
  chooser.value = position.network ?? state.models.default;
  address.write(position, { newEntry: false });
  await ask();
  showMessage(`${wrong.name}: ${message} The answer is still about ${photo.name}.`);
}

/** Ask everything about the photo anew: the answer first, then the ribbon, the open stage and the guises. */
async function ask() {
  state.asking.abort();
  state.asking = new AbortController();
  state.view?.close();
  state.view = null;
  state.answers = {};
  const { signal } = state.asking;
  const { photo } = state;
  const network = state.position.network ?? state.models.default;
  if (!photo) return;
  surgery.begin(network);
  showTools(false);
  showMessage("");
  fade($("walk"), true);
  learned.wait();
  fade($("why"), !photo.guises);
  answer.wait(photo);
  try {
    const detail = await showAnswer(photo, network, signal);
    await showWalk(photo, detail, signal);
    await showLearned(photo, detail, signal);
    await showGuises(photo, signal);
  } catch (error) {
    if (api.superseded(error)) return;
    const { answered } = state;
    if (answered && !state.answers.predict && error instanceof api.Refusal && WRONG_FILE.includes(error.status)) {
      returnTo(answered, photo, error);
      return;
    }
    if (!state.answers.predict) answer.fail();
    if (!state.view) $("walk").hidden = $("learned").hidden = true;
    if (!photo.guises) $("why").hidden = true;
    showTrouble(error, ask);
  }
}

/**
 * @param {Photo} photo
 * @param {string} network
 * @param {AbortSignal} signal
 */
async function showAnswer(photo, network, signal) {
  const query = { network, feature_maps: "none", heatmap: "true" };
  const [first, detail] = await Promise.all([answerOf(photo, query, signal), api.network(network, signal)]);
  state.answers.predict = first;
  if (state.answered && state.answered.photo !== photo) forget(state.answered.photo);
  state.answered = null;
  Object.assign(photo, { width: first.image.width, height: first.image.height });
  answer.show(first, { photo, view: state, band: detail.unsure });
  find($("curl-predict"), "code").textContent = api.curl("predict", query, photo);
  if (state.expected) {
    const { compare } = await import("./replay.js");
    showMessage(compare(state.expected, first), "notice");
  }
  state.expected = null;
  if ($("picture").classList.contains("unshown") || first.image.animated)
    answer.standIn(await standIn(photo, network, signal), first.image);
  showTools(true);
  await surgery.follow({ photo, detail, own: first, signal });
  return detail;
}

/**
 * @param {Photo} photo
 * @param {NetworkDetail} detail
 * @param {AbortSignal} signal
 */
async function showWalk(photo, detail, signal) {
  const query = { network: detail.network, edits: surgery.edits.text() };
  const prediction = await api.post("predict", query, photo, signal);
  const listeners = { move: remember, open: openStage, step: stepStage, trouble: showTrouble, unit: rememberUnit };
  state.view = new StageView({ photo, detail, prediction, signal, surgery }, listeners);
  $("walk").hidden = false;
  fade($("walk"), false);
  $("walk-measured").textContent = measured(detail.measured);
  ribbon.draw(detail, prediction, photo, openStage);
  second.offer();
  await showStage(state.position.stage, state.follow && !isOnTimeline() ? "start" : null);
}

/** Whether the position is an epoch of the network's training. */
const isOnTimeline = () => typeof state.position.epoch === "number";

/**
 * @param {Photo} photo
 * @param {NetworkDetail} detail
 * @param {AbortSignal} signal
 */
async function showLearned(photo, detail, signal) {
  signal.throwIfAborted();
  const { predict: own } = state.answers;
  const isLed = state.follow;
  state.follow = false;
  if (own) await learned.offer({ photo, detail, own, signal, edits: surgery.edits }, isLed);
}

/**
 * @param {Photo} photo
 * @param {AbortSignal} signal
 */
async function showGuises(photo, signal) {
  $("why").hidden = false;
  if (!photo.guises) guises.wait();
  fade($("why"), false);
  photo.guises ??= (await uploaded(photo).guises).guises;
  signal.throwIfAborted();
  state.answers.guises = photo.guises;
  guises.show(photo.guises, state.models.networks, api.curl("guises", {}, photo));
}

/** Show or hide what can be done with an answer: its curl command, a link, a download. @param {boolean} isAnswered */
function showTools(isAnswered) {
  $("curl-predict").hidden = !isAnswered;
  find(document, ".walk-tools").hidden = !isAnswered;
}

/**
 * The visitor opens a stage: a new entry of the history.
 *
 * @param {string} name
 */
function openStage(name) {
  if (!state.view) return;
  showMessage("");
  remember({ stage: name, channel: null, row: null, column: null }, true);
  showStage(name, "nearest");
}

/**
 * Show a stage at the current position; an unknown name gives way to the first filter.
 *
 * @param {string | null} name
 * @param {ScrollLogicalPosition | null} block how the page scrolls there, as scrollIntoView has it; null: it stays
 */
async function showStage(name, block) {
  const { view } = state;
  if (!view) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  const isUnit = state.position.row !== null; // whether the position is as exact as that
  const { detail } = view.context;
  const layer = (name && view.find(name)) || view.find(firstFilter(detail));
  if (!layer) return;
  if (name && name !== layer.name) {
    showMessage(`The network ${detail.network} has no stage ${name.slice(0, 80)}; showing ${layer.name} instead.`);
  }
  try {
    ribbon.mark(layer.name, behavior);
    const opened = view.open(layer, state.position);
    if (block) $("stage").scrollIntoView({ block, behavior });
    await opened;
    if (block === "start") (isUnit ? view.near : $("stage")).scrollIntoView({ block, behavior });
  } catch (error) {
    showTrouble(error);
  }
}

/**
 * Open the stage that many steps further on: of the ribbon or, inside a block, of its layers too.
 *
 * @param {number} by
 */
function stepStage(by) {
  const { view } = state;
  if (!view?.layer) return;
  const next = ribbon.neighbour(view.context.detail, view.layer.name, by);
  if (next) openStage(next);
}

/**
 * Remember where the visitor is.
 *
 * @param {Partial<Position>} position
 * @param {boolean} newEntry whether "back" undoes it
 */
function remember(position, newEntry) {
  Object.assign(state.position, position);
  state.answers.unit = null; // it belongs to another position
  address.write(state.position, { newEntry });
  learned.moved();
  second.moved();
}

/** @param {Unit} unit */
function rememberUnit(unit) {
  state.answers.unit = unit;
}

/** @param {PickedPhoto} file a downloaded walk */
async function openAgain(file) {
  try {
    const { expected, position, opacity, photo, ask: wanted } = await openWalk(file, state.isReady ? networks() : null);
    Object.assign(state, { expected, position, opacity: opacity ?? OPACITY, follow: Boolean(position.stage) });
    chooser.value = position.network ?? "";
    address.write(position, { newEntry: true });
    if (photo) setPhoto(photo);
    else if (!openSample(expected.photo)) showMessage(wanted, "notice");
  } catch (error) {
    showMessage(error instanceof Error ? error.message : String(error));
  }
}

chooser.addEventListener("change", () => {
  state.position = { network: chooser.value, stage: null, channel: null, row: null, column: null };
  address.write(state.position, { newEntry: true });
  if (state.photo) ask();
});
takeAway(state, surgery.edits);
teach.listen(list);
$("about-open").addEventListener("click", () => $("about", HTMLDialogElement).showModal());

addEventListener("popstate", ({ state: entry }) => {
  if (!state.isReady) return;
  const previous = state.position.network;
  if (arrive(entry?.follow)) return; // the photo is on its way
  if (state.position.network !== previous) ask();
  else {
    showStage(state.position.stage, entry?.follow && !isOnTimeline() ? "start" : null);
    learned.follow(entry?.follow);
  }
});

onShortcut(({ key }) => {
  if (key === "[") stepStage(-1);
  if (key === "]") stepStage(1);
});
