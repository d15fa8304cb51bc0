/** Every way in which a photo comes to the page: picked, dropped, pasted, taken with the camera, or one of the samples. */
// @ts-check

import { $, el, find } from "./basics/dom.js";

/** @import { PickedPhoto } from "./types.js" */

/** @typedef {(file: Blob, name?: string) => void} Take */
/** @typedef {(sentence: string) => void} OnTrouble */

export const CHELSEA = "fc898c685c70f36d349c985193d1121103966bad43aa69cb3d7114cb0430150f"; // walked before any photo is chosen

let newest = 0; // counts photos, so that a sample that arrives late does not replace a photo chosen meanwhile

/**
 * Listen for photos. `onWalk` gets the file of a downloaded walk, `onTrouble` a sentence. Returns a function that opens the
 * sample of that SHA-256 or name, if there is one, and reports whether there was.
 *
 * @param {{ onPhoto: (photo: PickedPhoto) => void, onWalk: (file: PickedPhoto) => void, onTrouble: OnTrouble }} listeners
 */
export function listen({ onPhoto, onWalk, onTrouble }) {
  /** @type {Take} */
  const take = (file, name = (file instanceof File && file.name) || "photo") => {
    newest += 1;
    if (file.type === "application/json" || name.endsWith(".json")) onWalk({ file, name });
    else onPhoto({ file, name });
  };
  picked(take);
  dropped(take, onTrouble);
  pasted(take);
  camera(take, onTrouble);
  return samples(take, onTrouble);
}

/** @param {Take} take */
function picked(take) {
  const input = $("file", HTMLInputElement);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) take(file);
    input.value = ""; // so that the same file can be picked again
  });
  find($("photo"), ".empty").addEventListener("click", () => input.click());
}

/**
 * @param {Take} take
 * @param {OnTrouble} onTrouble
 */
function dropped(take, onTrouble) {
  /** @param {boolean} over */
  const mark = (over) => $("photo").classList.toggle("over", over);
  /** @param {DragEvent} event */
  const hasFile = ({ dataTransfer }) => dataTransfer?.types?.includes("Files") || (dataTransfer?.files?.length ?? 0) > 0;
  addEventListener("dragover", (event) => {
    if (!hasFile(event)) return; // text may be dropped into a field
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    mark(false);
    const file = event.dataTransfer?.files[0];
    if (file) take(file);
    else onTrouble("Only files can be dropped here.");
  });
}

/** @param {Take} take */
function pasted(take) {
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/**
 * @param {Take} take
 * @param {OnTrouble} onTrouble
 */
function camera(take, onTrouble) {
  const dialog = $("camera", HTMLDialogElement);
  const video = find(dialog, "video", HTMLVideoElement);
  const shoot = find(dialog, "[data-shoot]", HTMLButtonElement);
  video.addEventListener("loadeddata", () => {
    shoot.disabled = false;
  });
  $("camera-open").addEventListener("click", async () => {
    if (dialog.open) return;
    shoot.disabled = true;
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      dialog.showModal();
      await video.play();
    } catch (error) {
      dialog.close();
      const reason = error instanceof Error ? error.message : String(error);
      const why = navigator.mediaDevices ? reason : "browsers allow it only on pages from https or localhost";
      onTrouble(`The camera cannot be used (${why}). You can choose a photo instead.`);
    }
  });
  find(dialog, "[data-close]").addEventListener("click", () => dialog.close());
  shoot.addEventListener("click", () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && take(blob, "camera.jpg"), "image/jpeg", 0.92);
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    if (video.srcObject instanceof MediaStream) for (const track of video.srcObject.getTracks()) track.stop();
  });
}

/**
 * @param {Take} take
 * @param {OnTrouble} onTrouble
 */
function samples(take, onTrouble) {
  const buttons = [...document.querySelectorAll("button")].filter((button) => button.dataset.sample);
  /** @param {HTMLButtonElement} button */
  const open = async (button) => {
    const name = button.dataset.sample;
    newest += 1;
    const mine = newest;
    try {
      const response = await fetch(new URL(`web/samples/${name}`, document.baseURI));
      if (!response.ok) throw new Error(response.statusText);
      const sample = await response.blob();
      if (mine === newest) take(sample, name);
    } catch {
      onTrouble("The sample photo could not be loaded from the service.");
    }
  };
  for (const button of buttons) button.addEventListener("click", () => open(button));
  /** @param {string} which its SHA-256 or its name */
  return (which) => {
    const button = buttons.find(({ dataset }) => [dataset.sha256, dataset.sample].includes(which));
    if (button) open(button);
    return Boolean(button);
  };
}

/** Whether the visitor asked the browser to load little, so that nothing is sent before they choose a photo. */
export function savesData() {
  return "connection" in navigator && /** @type {{ saveData?: boolean }} */ (navigator.connection).saveData === true;
}
