/** The network was changed: the open stage is asked about anew, and each part is replaced in place once its answer is there. */
// @ts-check

import * as channels from "../stage/channels.js";

/** @import { Position } from "../types.js" */
/** @import { StageView } from "../stage/stage.js" */

/**
 * @param {StageView} view
 * @param {Position} position where the visitor is, should the stage not be there yet
 */
export async function refresh(view, position) {
  const { layer, channel, workings } = view;
  if (!layer) return;
  if (!view.grid.isConnected || position.channel !== channel) {
    await view.open(layer, position);
    return;
  }
  view.enlarged?.slide.pause();
  clearTimeout(view.resting);
  view.opening.abort();
  view.opening = new AbortController();
  view.inputs.clear();
  workings.kept.clear();
  const explained = await view.ask("explain/stage", { stage: layer.name, channel });
  keepFocus(view.root, () => {
    const grid = channels.grid(explained, channel, (index) => view.choose(layer, index));
    view.grid.replaceWith(grid);
    view.grid = grid;
    view.context.surgery.tools?.redrawn();
    const before = view.enlarged;
    view.draw(layer, explained);
    if (view.enlarged) before?.root.replaceWith(view.enlarged.root);
  });
  view.enlarged?.show(view.unit);
  view.on.move({}, false); // the second photo is asked anew, too
  if (view.filterPicture && view.enlarged) view.showFilter(layer, view.filterPicture);
  await view.workOut(view.unit);
}

/**
 * Replace parts of an element; if the focus was in one of them, it goes to what replaced it.
 *
 * @param {HTMLElement} root
 * @param {() => void} replace
 */
function keepFocus(root, replace) {
  const { activeElement } = document;
  if (!(activeElement instanceof HTMLElement) || !root.contains(activeElement)) {
    replace();
    return;
  }
  const { focus, channel } = activeElement.dataset;
  const { scrollTop } = root.querySelector(".cells") ?? root;
  replace();
  const cells = root.querySelector(".cells");
  if (cells) cells.scrollTop = scrollTop;
  if (activeElement.isConnected) return;
  const selector = focus ? `[data-focus="${focus}"]` : channel ? `[data-channel="${channel}"]` : "input";
  const heir = root.querySelector(selector);
  if (heir instanceof HTMLElement) heir.focus({ preventScroll: true });
}
