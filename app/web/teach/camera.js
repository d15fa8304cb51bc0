/** The camera: as many photos of a class as are wanted, one after another. */
// @ts-check

import { el } from "../basics/dom.js";
import { plural } from "../basics/format.js";

/** @import { Column } from "./column.js" */

let shots = 0; // counts photos, for their names

/**
 * Open the camera for a class; it closes when the visitor is done. `onTrouble` gets a sentence if there is no camera.
 *
 * @param {Column} column
 * @param {(sentence: string) => void} onTrouble
 */
export async function open(column, onTrouble) {
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const why = navigator.mediaDevices ? reason : "browsers allow it only on pages from https or localhost";
    onTrouble(`The camera cannot be used (${why}). You can add photos instead.`);
    return;
  }
  const video = el("video", { playsinline: true });
  video.muted = true;
  video.srcObject = stream;
  const said = el("p", { role: "status" }, plural(column.shots.length, "photo"));
  const capture = el("button", { type: "button", class: "primary", disabled: true }, "Capture");
  const done = el("button", { type: "button" }, "Done");
  const title = el("h2", { id: "teach-camera" }, `Photos of ${column.title}`);
  const hint = el("p", { class: "quiet" }, "Turn it, move it, change the light: photos that differ teach more.");
  const buttons = el("div", { class: "buttons" }, capture, done, said);
  const dialog = el("dialog", { "aria-labelledby": title.id, class: "camera" }, title, hint, video, buttons);
  video.addEventListener("loadeddata", () => {
    capture.disabled = false;
    capture.focus();
  });
  capture.addEventListener("click", () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob(
      (blob) => {
        if (!blob) return;
        shots += 1;
        column.add([new File([blob], `camera ${shots}.jpg`, { type: "image/jpeg" })]);
        said.textContent = plural(column.shots.length, "photo");
      },
      "image/jpeg",
      0.92,
    );
  });
  done.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
    column.camera.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  await video.play();
}
