/** The conductor: a photo comes in, the three acts are shown in turn, and the position in the address is followed. */
// @ts-check

import * as answer from "./acts/answer.js";
import * as guises from "./acts/guises.js";
import * as ribbon from "./acts/ribbon.js";
import * as address from "./address.js";
import * as api from "./api.js";
import { $, fade, find } from "./basics/dom.js";
import { showMessage, showTrouble } from "./message.js";
import { listen } from "./photo.js";
import * as replay from "./replay.js";
import { StageView } from "./stage/stage.js";
import { answerOf, uploaded } from "./upload.js";

/** @import { Expected, Guises, NetworkDetail, Networks, Photo, PickedPhoto, Position, Prediction } from "./types.js" */
/** @import { Unit } from "./stage/units.js" */

const OPACITY = 0.8;

/** @typedef {{ predict?: Prediction, unit?: Unit | null, guises?: Guises }} Answers the newest of each */

const state = {
  /** @type {Networks} */
  models: { default: "", networks: [] },
  isReady: false, // whether the list of networks has arrived
  /** @type {Map<string, NetworkDetail>} */
  details: new Map(),
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
  asking: new AbortController(), // aborts every request about the previous photo and network
  /** @type {StageView | null} */
  view: null,
};

const chooser = $("network", HTMLSelectElement);
const openSample = listen({ onPhoto: setPhoto, onWalk: openWalk, onTrouble: showMessage });

start();

async function start() {
  try {
    state.models = await api.networks();
    state.isReady = true;
  } catch (error) {
    showTrouble(error, start);
    return;
  }
  showMessage("");
  const names = networks();
  const options = names.map((name) => new Option(name === state.models.default ? `${name} (default)` : name, name));
  chooser.replaceChildren(...options);
  $("served").textContent = `Networks served here: ${names.join(", ")}.`;
  arrive();
  if (state.photo) ask();
}

const networks = () => state.models.networks.map(({ network }) => network);

/** Take the position from the address: an unknown network gives way to the default, a link's photo is looked for. */
function arrive() {
  const { photo, model, ...position } = address.read();
  const network = networks().find((name) => name === position.network) ?? state.models.default;
  state.position = { ...position, network };
  chooser.value = network;
  state.follow = Boolean(position.stage);
  if (!photo || photo === state.answers.predict?.image.sha256) return;
  state.expected = { photo, model, probability: null };
  if (openSample(photo)) return;
  showMessage(
    `This link is about the photo whose SHA-256 begins with ${photo.slice(0, 12)}. Drop that photo here to follow it.`,
  );
}

/** @param {PickedPhoto} picked */
function setPhoto({ file, name }) {
  state.photo?.leaving.abort();
  if (state.photo) URL.revokeObjectURL(state.photo.objectUrl);
  if (!state.expected && state.photo) Object.assign(state.position, { channel: null, row: null, column: null });
  const objectUrl = URL.createObjectURL(file);
  const leaving = new AbortController();
  state.photo = {
    file,
    name,
    objectUrl,
    url: objectUrl,
    width: 0,
    height: 0,
    guises: null,
    inputs: {},
    upload: null,
    leaving,
  };
  if (state.isReady) ask();
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
  showTools(false);
  showMessage("");
  fade($("walk"), true);
  fade($("why"), !photo.guises);
  answer.wait(photo);
  try {
    const detail = await showAnswer(photo, network, signal);
    await showWalk(photo, detail, signal);
    await showGuises(photo, signal);
  } catch (error) {
    if (api.superseded(error)) return;
    if (!state.answers.predict) answer.fail();
    if (!state.view) $("walk").hidden = true;
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
  const [first, detail] = await Promise.all([answerOf(photo, query, signal), detailOf(network, signal)]);
  state.answers.predict = first;
  Object.assign(photo, { width: first.image.width, height: first.image.height });
  answer.show(first, { view: state, band: detail.unsure });
  find($("curl-predict"), "code").textContent = api.curl("predict", query, photo);
  if (state.expected) showMessage(replay.compare(state.expected, first), "notice");
  state.expected = null;
  if ($("picture").classList.contains("unshown") || first.image.animated) await standIn(photo, first, network, signal);
  showTools(true);
  return detail;
}

/**
 * @param {Photo} photo
 * @param {NetworkDetail} detail
 * @param {AbortSignal} signal
 */
async function showWalk(photo, detail, signal) {
  const prediction = await api.post("predict", { network: detail.network }, photo, signal);
  const listeners = { move: remember, open: openStage, step: stepStage, trouble: showTrouble, unit: rememberUnit };
  state.view = new StageView({ photo, detail, prediction, signal }, listeners);
  $("walk").hidden = false;
  fade($("walk"), false);
  ribbon.draw(detail, prediction, photo, openStage);
  await showStage(state.position.stage, state.follow ? "start" : null);
  state.follow = false;
}

/**
 * @param {Photo} photo
 * @param {AbortSignal} signal
 */
async function showGuises(photo, signal) {
  $("why").hidden = false;
  if (!photo.guises) guises.wait();
  fade($("why"), false);
  photo.guises ??= (await uploaded(photo).rest).guises;
  signal.throwIfAborted();
  state.answers.guises = photo.guises;
  guises.show(photo.guises, state.models.networks, api.curl("guises", {}, photo));
}

/**
 * Show or hide what can be done with an answer: its curl command, a link, a download.
 *
 * @param {boolean} isAnswered
 */
function showTools(isAnswered) {
  $("curl-predict").hidden = !isAnswered;
  find(document, ".walk-tools").hidden = !isAnswered;
}

/**
 * @param {string} network
 * @param {AbortSignal} signal
 */
async function detailOf(network, signal) {
  const detail = state.details.get(network) ?? (await api.network(network, signal));
  state.details.set(network, detail);
  return detail;
}

/**
 * Browsers do not show TIFF, and animations move: the network's input picture stands in for such photos.
 *
 * @param {Photo} photo
 * @param {Prediction} prediction
 * @param {string} network
 * @param {AbortSignal} signal
 */
async function standIn(photo, { image }, network, signal) {
  const query = { network, stage: "image", sheet: false, values: false };
  const { picture } = await api.post("explain/stage", query, photo, signal);
  photo.url = picture ?? photo.url;
  answer.standIn(photo.url, image);
}

/** @param {NetworkDetail} detail */
const firstFilter = (detail) => (detail.stages.find((stage) => stage.kind === "convolution") ?? detail.stages[0]).name;

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
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const { detail } = view.context;
  const layer = (name && view.find(name)) || view.find(firstFilter(detail));
  if (!layer) return;
  if (name && name !== layer.name) {
    showMessage(`The network ${detail.network} has no stage ${name.slice(0, 80)}; showing ${layer.name} instead.`);
  }
  try {
    ribbon.mark(layer.name, reducedMotion);
    const opened = view.open(layer, state.position);
    if (block) $("stage").scrollIntoView({ block, behavior: reducedMotion ? "auto" : "smooth" });
    await opened;
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
  const { detail } = view.context;
  const open = view.layer.name;
  const stages = detail.stages.map((stage) => stage.name);
  const names = stages.includes(open) ? stages : ribbon.inOrder(detail).map((stage) => stage.name);
  const next = names[names.indexOf(open) + by];
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
}

/** @param {Unit} unit */
function rememberUnit(unit) {
  state.answers.unit = unit;
}

/**
 * Replay a downloaded walk: its network, its position, and its photo if it is inside, or else once it is dropped.
 *
 * @param {PickedPhoto} file
 */
async function openWalk(file) {
  try {
    const walk = await replay.read(file);
    const { photo, place } = walk;
    const { network } = walk.model;
    if (!state.isReady) throw new Error("The list of networks has not arrived yet. Try again in a moment.");
    if (!networks().includes(network)) throw new Error(`This walk uses the network ${network}, which is not served here.`);
    const inside = await replay.photoOf(walk);
    state.expected = replay.expectedOf(walk);
    state.position = { ...place, network };
    state.opacity = walk.settings.opacity ?? OPACITY;
    state.follow = Boolean(place.stage);
    chooser.value = network;
    address.write(state.position, { newEntry: true });
    if (inside) setPhoto(inside);
    else if (!openSample(photo.sha256)) {
      const what = `${photo.name}, ${photo.width} × ${photo.height} (SHA-256 ${photo.sha256.slice(0, 12)}…)`;
      showMessage(`This walk is of ${what}. Drop that photo here to replay it.`, "notice");
    }
  } catch (error) {
    showMessage(error instanceof Error ? error.message : String(error));
  }
}

async function download() {
  const { photo, position, opacity, answers } = state;
  const { predict, unit, guises } = answers;
  if (!photo || !predict) return;
  const withPhoto = $("with-photo", HTMLInputElement).checked;
  await replay.save({ photo, position, opacity, predict, unit: unit ?? null, guises, withPhoto });
}

async function copyLink() {
  if (!state.answers.predict) return;
  const { image, model } = state.answers.predict;
  const url = new URL(location.href);
  url.hash = address.fragment({ ...state.position, photo: image.sha256, model: model.sha256 });
  try {
    await navigator.clipboard.writeText(url.href);
    showMessage("The link is copied. Whoever opens it and drops the same photo sees this view.", "notice");
  } catch {
    prompt("Copy this link:", url.href);
  }
}

chooser.addEventListener("change", () => {
  state.position = { network: chooser.value, stage: null, channel: null, row: null, column: null };
  address.write(state.position, { newEntry: true });
  if (state.photo) ask();
});
$("download").addEventListener("click", () => download().catch(showTrouble));
$("link").addEventListener("click", copyLink);
$("about-open").addEventListener("click", () => $("about", HTMLDialogElement).showModal());

addEventListener("popstate", () => {
  if (!state.isReady) return;
  const previous = state.position.network;
  arrive();
  if (!state.photo) return;
  if (state.position.network !== previous) ask();
  else showStage(state.position.stage, null);
});

addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof Element && event.target.closest("input, select, textarea, dialog");
  if (isTyping || event.ctrlKey || event.metaKey) return;
  if (event.key === "[") stepStage(-1);
  if (event.key === "]") stepStage(1);
});
