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
  photo: null, // {file, name, url}
  expected: null, // what a replayed walk promised: {photo, model, probability, name}
  opacity: OPACITY,
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
  const names = state.models.networks.map(({ network }) => network);
  $("network").replaceChildren(...names.map((name) => new Option(name === state.models.default ? `${name} (the best)` : name, name)));
  if (!names.includes(state.place.network)) state.place.network = state.models.default;
  $("network").value = state.place.network;
  const { photo, model } = state.place;
  if (photo && !state.photo) {
    state.expected = { photo, model, probability: null };
    if (!openSample(photo)) say(`This link leads into a walk with the photo whose SHA-256 begins with ${photo.slice(0, 12)}. Drop that photo here to follow it.`);
  }
  $("served").textContent = `Served here: ${names.join(", ")}.`;
  if (state.photo) ask();
}

function setPhoto({ file, name }) {
  if (state.photo) URL.revokeObjectURL(state.photo.url);
  if (!state.expected && state.photo) Object.assign(state.place, { channel: null, row: null, column: null });
  state.photo = { file, name, url: URL.createObjectURL(file) };
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
  answer.wait(photo);
  try {
    const query = { network, feature_maps: "none", heatmap: "true" };
    const [first, detail] = await Promise.all([api.post("predict", query, photo, signal), detailOf(network, signal)]);
    state.answers.predict = first;
    answer.show(first, { opacity: state.opacity, onOpacity: (value) => (state.opacity = value), band: detail.unsure });
    curl("curl-predict", api.curl("predict", query, photo));
    if (state.expected) compareWith(first);
    await standIn(photo, network, signal);
    offerToKeep(true);

    const seen = await api.post("predict", { network }, photo, signal);
    state.view = new StageView({ photo, detail, answer: seen, signal }, { place: note, open: openStage, step: stepStage, trouble, unit: (unit) => (state.answers.unit = unit) });
    $("walk").hidden = false;
    walk.draw(detail, seen, photo, openStage);
    const asked = state.place.stage;
    await showStage(asked ?? firstFilter(detail), { scroll: Boolean(asked) });

    $("why").hidden = false;
    guises.wait();
    const compared = await api.post("guises", {}, photo, signal);
    state.answers.guises = compared;
    guises.show(compared, state.models.networks, api.curl("guises", {}, photo));
  } catch (error) {
    if (!state.answers.predict && !api.superseded(error)) {
      answer.fail();
      for (const id of ["walk", "why"]) $(id).hidden = true;
    }
    trouble(error, ask);
  }
}

/** Show or hide what can be done with an answer: its curl, a link, a file. */
function offerToKeep(answered) {
  for (const one of document.querySelectorAll("#curl-predict, .walk-tools")) one.hidden = !answered;
}

async function detailOf(network, signal) {
  if (!state.details.has(network)) state.details.set(network, await api.get(`models/${network}`, signal));
  return state.details.get(network);
}

/** Browsers show no TIFF, for one: then the picture that the network gets stands for the photo. */
async function standIn(photo, network, signal) {
  if (!$("picture").classList.contains("unshown")) return;
  const { picture } = await api.post("explain/stage", { network, stage: "image", sheet: false, values: false }, photo, signal);
  photo.url = picture;
  answer.stand_in(picture);
}

const firstFilter = (detail) => (detail.stages.find((stage) => stage.kind === "convolution") ?? detail.stages[0]).name;

/** The visitor opens a stage: a new page of the history. */
function openStage(name) {
  Object.assign(state.place, { stage: name, channel: null, row: null, column: null });
  place.write(state.place, { anew: true });
  showStage(name, { scroll: true });
}

async function showStage(name, { scroll }) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  try {
    walk.mark(name, calm || !scroll);
    await state.view.open({ ...state.place, stage: name });
    if (scroll) $("stage").scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
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
  place.write(state.place, { anew });
}

function compareWith(first) {
  const sentence = replay.compare(state.expected, first);
  say(sentence, "status");
  Object.assign(state.place, { photo: null, model: null });
  state.expected = null;
}

/** Replay a downloaded walk: its network, its place, and its photo if it is inside, or once it is dropped. */
async function openWalk(file) {
  try {
    const found = await replay.read(file);
    const { network } = found.model;
    if (!state.models.networks.some((one) => one.network === network)) throw new Error(`This walk is of the network ${network}, which is not served here.`);
    state.expected = { photo: found.photo.sha256, model: found.model.sha256, probability: found.answers.predict.probabilities.cat };
    state.place = { ...place.read(), ...found.place, network };
    state.opacity = found.settings?.opacity ?? OPACITY;
    $("network").value = network;
    place.write(state.place, { anew: true });
    const inside = await replay.photoOf(found);
    if (inside) setPhoto(inside);
    else if (!openSample(found.photo.sha256)) say(`This walk is of ${found.photo.name}, ${found.photo.width} × ${found.photo.height} (SHA-256 ${found.photo.sha256.slice(0, 12)}…). Drop that photo here to walk it again.`, "status");
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
    say("The link is copied. Whoever opens it drops the same photo and stands where you stand.", "status");
  } catch {
    prompt("Copy this link:", url.href);
  }
}

/** Say a sentence above everything: an "alert" interrupts a screen reader, a "status" waits. */
function say(text, role = "alert") {
  $("message").setAttribute("role", role);
  $("message").classList.toggle("good", role === "status");
  $("message").textContent = text;
  $("message").hidden = !text;
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
  state.place = { ...place.read(), network: event.target.value, stage: null, channel: null, row: null, column: null, photo: null, model: null };
  place.write(state.place, { anew: true });
  if (state.photo) ask();
});
$("download").addEventListener("click", () => download().catch(trouble));
$("link").addEventListener("click", copyLink);
$("about-open").addEventListener("click", () => $("about").showModal());

addEventListener("popstate", () => {
  const before = state.place.network;
  state.place = { ...place.read(), photo: null, model: null };
  state.place.network ??= state.models?.default ?? null;
  $("network").value = state.place.network;
  if (!state.photo) return;
  if (state.place.network !== before) ask();
  else if (state.view) showStage(state.place.stage ?? firstFilter(state.details.get(before)), { scroll: false });
});

addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "[") stepStage(-1);
  if (event.key === "]") stepStage(1);
});
