/** The conductor: a photo comes in, the three acts are played in turn, and the place in the address is followed. */

import * as answer from "./answer.js";
import * as api from "./api.js";
import { $ } from "./dom.js";
import * as guises from "./guises.js";
import { listen } from "./photo.js";
import * as place from "./place.js";
import * as replay from "./replay.js";
import { StageView } from "./stage.js";
import * as walk from "./walk.js";

const OPACITY = 0.8;

const state = {
  models: null, // GET /models
  details: new Map(), // GET /models/{network}, by name
  place: place.read(),
  photo: null, // {file, name, address, url}: its object URL, and what is shown of it; and, once answered, width, height, guises
  expected: null, // what a replayed walk promised: {photo, model, probability}
  opacity: OPACITY,
  follow: false, // whether the place is one that somebody else was led to, so that the page goes there
  answers: {}, // the newest of predict, unit and guises
  asking: new AbortController(), // ends everything that was asked about the photo and network before
  view: null,
};

const openSample = listen({ onPhoto: setPhoto, onWalk: openWalk, onTrouble: say });

start();

async function start() {
  try {
    state.models = await api.get("models");
  } catch (error) {
    trouble(error, start);
    return;
  }
  say("");
  const names = networks();
  $("network").replaceChildren(...names.map((name) => new Option(name === state.models.default ? `${name} (the best)` : name, name)));
  $("served").textContent = `Served here: ${names.join(", ")}.`;
  arrive();
  if (state.photo) ask();
}

const networks = () => state.models.networks.map(({ network }) => network);

/** Take the place that the address names: a network that is not served gives way to the default, a link's photo is looked for. */
function arrive() {
  const { photo, model, ...found } = place.read();
  state.place = { ...found, network: networks().includes(found.network) ? found.network : state.models.default };
  $("network").value = state.place.network;
  state.follow = Boolean(found.stage);
  if (!photo || photo === state.answers.predict?.image.sha256) return;
  state.expected = { photo, model, probability: null };
  if (!openSample(photo)) say(`This link leads into a walk with the photo whose SHA-256 begins with ${photo.slice(0, 12)}. Drop that photo here to follow it.`);
}

function setPhoto({ file, name }) {
  if (state.photo) URL.revokeObjectURL(state.photo.address);
  if (!state.expected && state.photo) Object.assign(state.place, { channel: null, row: null, column: null });
  const address = URL.createObjectURL(file);
  state.photo = { file, name, address, url: address };
  if (state.models) ask();
}

/** Ask everything about the photo anew: the answer first, then the ribbon, then the open stage, then the guises. */
async function ask() {
  state.asking.abort();
  state.asking = new AbortController();
  state.view?.close();
  state.view = null;
  state.answers = {};
  const { signal } = state.asking;
  const { photo } = state;
  const { network } = state.place;
  offerToKeep(false);
  say("");
  fade($("walk"), true);
  fade($("why"), !photo.guises);
  answer.wait(photo);
  try {
    const query = { network, feature_maps: "none", heatmap: "true" };
    const [first, detail] = await Promise.all([api.post("predict", query, photo, signal), detailOf(network, signal)]);
    state.answers.predict = first;
    Object.assign(photo, { width: first.image.width, height: first.image.height });
    answer.show(first, { opacity: state.opacity, onOpacity: (value) => (state.opacity = value), band: detail.unsure });
    curl("curl-predict", api.curl("predict", query, photo));
    if (state.expected) compareWith(first);
    if ($("picture").classList.contains("unshown") || first.image.animated) await standIn(photo, first.image, network, signal);
    offerToKeep(true);

    const seen = await api.post("predict", { network }, photo, signal);
    state.view = new StageView({ photo, detail, answer: seen, signal }, { place: note, open: openStage, step: stepStage, trouble, unit: (unit) => (state.answers.unit = unit) });
    $("walk").hidden = false;
    fade($("walk"), false);
    walk.draw(detail, seen, photo, openStage);
    await showStage(state.place.stage, state.follow && "start");
    state.follow = false;

    $("why").hidden = false;
    if (!photo.guises) guises.wait();
    fade($("why"), false);
    photo.guises ??= await api.post("guises", {}, photo, signal);
    state.answers.guises = photo.guises;
    guises.show(photo.guises, state.models.networks, api.curl("guises", {}, photo));
  } catch (error) {
    if (api.superseded(error)) return;
    if (!state.answers.predict) answer.fail();
    if (!state.view) $("walk").hidden = true;
    if (!photo.guises) $("why").hidden = true;
    trouble(error, ask);
  }
}

/** What belongs to the photo before stays where it is, so that the page does not jump, but pales and cannot be used. */
function fade(act, stale) {
  act.inert = stale;
  act.classList.toggle("stale", stale);
}

/** Show or hide what can be done with an answer: its curl, a link, a file. */
function offerToKeep(answered) {
  for (const one of document.querySelectorAll("#curl-predict, .walk-tools")) one.hidden = !answered;
}

async function detailOf(network, signal) {
  if (!state.details.has(network)) state.details.set(network, await api.get(`models/${network}`, signal));
  return state.details.get(network);
}

/** Browsers show no TIFF, and animations move: then the picture that the network gets stands for the photo. */
async function standIn(photo, image, network, signal) {
  const { picture } = await api.post("explain/stage", { network, stage: "image", sheet: false, values: false }, photo, signal);
  photo.url = picture;
  answer.standIn(picture, image);
}

const firstFilter = (detail) => (detail.stages.find((stage) => stage.kind === "convolution") ?? detail.stages[0]).name;

/** The visitor opens a stage: a new page of the history. */
function openStage(name) {
  if (!state.view) return;
  say("");
  note({ stage: name, channel: null, row: null, column: null }, true);
  showStage(name, "nearest");
}

/**
 * Show a stage at the place in the address; a name that is none gives way to the first filter. `block` is how the page moves
 * there, as scrollIntoView has it; left out, it stays.
 */
async function showStage(name, block) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const { view } = state;
  const detail = state.details.get(state.place.network);
  if (!view) return;
  const known = name && view.find(name) ? name : firstFilter(detail);
  if (name && name !== known) say(`The network ${detail.network} has no stage ${name.slice(0, 80)}; this is ${known}.`);
  try {
    walk.mark(known, calm);
    const opened = view.open({ ...state.place, stage: known });
    if (block) $("stage").scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
    await opened;
  } catch (error) {
    trouble(error);
  }
}

/** The stage before or after the open one: of the ribbon, or inside of a block, of its layers too. */
function stepStage(by) {
  const detail = state.details.get(state.place.network);
  if (!detail || !state.view?.layer) return;
  const open = state.view.layer.name;
  const ribbon = detail.stages.map((stage) => stage.name);
  const names = ribbon.includes(open) ? ribbon : walk.passed(detail).map((stage) => stage.name);
  const next = names[names.indexOf(open) + by];
  if (next) openStage(next);
}

/** Remember where the visitor is; `anew` makes it a step that "back" undoes. */
function note(where, anew) {
  Object.assign(state.place, where);
  state.answers.unit = null; // the sum of another place
  place.write(state.place, { anew });
}

function compareWith(first) {
  const sentence = replay.compare(state.expected, first);
  say(sentence, "notice");
  state.expected = null;
}

/** Replay a downloaded walk: its network, its place, and its photo if it is inside, or once it is dropped. */
async function openWalk(file) {
  try {
    const found = await replay.read(file);
    const { network } = found.model;
    if (!state.models) throw new Error("The service has not said yet what it serves. Try again in a moment.");
    if (!networks().includes(network)) throw new Error(`This walk is of the network ${network}, which is not served here.`);
    const inside = await replay.photoOf(found);
    state.expected = { photo: found.photo.sha256, model: found.model.sha256, probability: replay.told(found.answers.predict) };
    state.place = { ...found.place, network };
    state.opacity = found.settings.opacity ?? OPACITY;
    state.follow = Boolean(found.place.stage);
    $("network").value = network;
    place.write(state.place, { anew: true });
    if (inside) setPhoto(inside);
    else if (!openSample(found.photo.sha256)) say(`This walk is of ${found.photo.name}, ${found.photo.width} × ${found.photo.height} (SHA-256 ${found.photo.sha256.slice(0, 12)}…). Drop that photo here to walk it again.`, "notice");
  } catch (error) {
    say(error.message);
  }
}

async function download() {
  const { photo, answers, opacity } = state;
  const picture = $("with-photo").checked ? await replay.inline(photo.file) : null;
  const { heatmap, ...predict } = answers.predict;
  const bare = answers.guises && { ...answers.guises, guises: answers.guises.guises.map(({ thumbnail, ...guise }) => guise) };
  const here = { stage: state.place.stage, channel: state.place.channel, row: state.place.row, column: state.place.column };
  const text = replay.write({ photo, place: here, settings: { opacity }, answers: { predict, unit: answers.unit ?? null, guises: bare ?? null }, picture });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `${photo.name.replace(/\.\w+$/, "")}.walk.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function copyLink() {
  const { image, model } = state.answers.predict;
  const url = new URL(location.href);
  url.hash = place.fragment({ ...state.place, photo: image.sha256, model: model.sha256 });
  try {
    await navigator.clipboard.writeText(url.href);
    say("The link is copied. Whoever opens it drops the same photo and stands where you stand.", "notice");
  } catch {
    prompt("Copy this link:", url.href);
  }
}

/** Say a sentence above everything; an "alert" interrupts a screen reader, a "notice" waits. Nothing takes both back. */
function say(text, where = "alert") {
  for (const id of ["alert", "notice"]) {
    $(id).textContent = id === where ? text : "";
    $(id).hidden = !$(id).textContent;
  }
}

/** An error as a sentence; a missing key is asked for, and `again` tries once more with it. */
function trouble(error, again) {
  if (api.superseded(error)) return;
  if (!(error instanceof api.Refusal)) console.error(error);
  say(error instanceof api.Refusal ? error.message : `The page met a mistake of its own: ${error.message}`);
  if (error.status !== 401) return;
  $("key-form").hidden = false;
  $("key-form").onsubmit = (event) => {
    event.preventDefault();
    api.useKey($("key").value);
    $("key-form").hidden = true;
    again?.();
  };
  $("key").focus();
}

function curl(id, command) {
  $(id).querySelector("code").textContent = command;
}

$("network").addEventListener("change", (event) => {
  state.place = { network: event.target.value, stage: null, channel: null, row: null, column: null };
  place.write(state.place, { anew: true });
  if (state.photo) ask();
});
$("download").addEventListener("click", () => download().catch(trouble));
$("link").addEventListener("click", copyLink);
$("about-open").addEventListener("click", () => $("about").showModal());

addEventListener("popstate", () => {
  if (!state.models) return;
  const before = state.place.network;
  arrive();
  if (!state.photo) return;
  if (state.place.network !== before) ask();
  else showStage(state.place.stage);
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey) return;
  if (event.key === "[") stepStage(-1);
  if (event.key === "]") stepStage(1);
});
