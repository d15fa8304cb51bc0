/** Every way in which a photo comes to the page: picked, dropped, pasted, taken with the camera, or one of the samples. */

import { $ } from "./dom.js";

let newest = 0; // counts photos, so that a sample that arrives late gives way to what was chosen meanwhile

/**
 * Listen for photos. `onPhoto` gets {file, name}, `onWalk` the file of a downloaded walk, `onTrouble` a sentence.
 * Returns `sample`, which opens the sample with that SHA-256 if there is one and says whether there was.
 */
export function listen({ onPhoto, onWalk, onTrouble }) {
  const take = (file, name = file.name || "photo") => {
    newest += 1;
    if (file.type === "application/json" || name.endsWith(".json")) onWalk(file);
    else onPhoto({ file, name });
  };
  picked(take);
  dropped(take, onTrouble);
  pasted(take);
  camera(take, onTrouble);
  return samples(take, onTrouble);
}

function picked(take) {
  $("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) take(file);
    event.target.value = ""; // so that the same file can be picked again
  });
  $("photo").querySelector(".empty").addEventListener("click", () => $("file").click());
}

function dropped(take, onTrouble) {
  const mark = (over) => $("photo").classList.toggle("over", over);
  const withFile = (event) => event.dataTransfer?.types?.includes("Files") || event.dataTransfer?.files?.length > 0;
  addEventListener("dragover", (event) => {
    if (!withFile(event)) return; // text may be dropped into a field
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? mark(false));
  addEventListener("drop", (event) => {
    if (!withFile(event)) return;
    event.preventDefault();
    mark(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
    else onTrouble("What was dropped is not a file that can be read here.");
  });
}

function pasted(take) {
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) {
      event.preventDefault();
      take(file);
    }
  });
}

function camera(take, onTrouble) {
  const dialog = $("camera");
  const video = dialog.querySelector("video");
  const stop = () => video.srcObject?.getTracks().forEach((track) => track.stop());
  const shoot = dialog.querySelector("[data-shoot]");
  video.addEventListener("loadeddata", () => (shoot.disabled = false));
  $("camera-open").addEventListener("click", async () => {
    if (dialog.open) return;
    shoot.disabled = true;
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      dialog.showModal();
      await video.play();
    } catch (error) {
      dialog.close();
      const why = navigator.mediaDevices ? `it says: ${error.message}` : "browsers give it to pages from https or localhost only";
      onTrouble(`The camera cannot be used: ${why}. A photo can be chosen instead.`);
    }
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && take(blob, "camera.jpg"), "image/jpeg", 0.92);
    dialog.close();
  });
  dialog.addEventListener("close", stop);
}

function samples(take, onTrouble) {
  const buttons = [...document.querySelectorAll("[data-sample]")];
  const open = async (button) => {
    const name = button.dataset.sample;
    const mine = (newest += 1);
    try {
      const response = await fetch(new URL(`web/samples/${name}`, document.baseURI));
      if (!response.ok) throw new Error();
      const sample = await response.blob();
      if (mine === newest) take(sample, name);
    } catch {
      onTrouble("The sample photo could not be fetched from the service.");
    }
  };
  for (const button of buttons) button.addEventListener("click", () => open(button));
  return (sha256) => {
    const button = buttons.find((one) => one.dataset.sha256 === sha256);
    if (button) open(button);
    return Boolean(button);
  };
}
