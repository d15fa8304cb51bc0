"""A folder of photos comes in; a network that was trained on them, with its history and its learning curves, goes out."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.teach import calibrate
from training.config import Recipe
from training.data import dataset
from training.fitting import checkpoint
from training.fitting.checkpoint import Checkpoints
from training.fitting.devices import Devices
from training.fitting.fit import UNDECAYED, averaged, blend, compile_for, deterministic, fit, predict_scores
from training.fitting.fold import fold
from training.fitting.frozen import trainable_part
from training.fitting.kept import KeptEpochs
from training.fitting.views import Photos, Scenes
from training.measuring import learned, learning_curves
from training.networks import build, pretrained
from training.tasks import sizes


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    resume: bool = False,
    devices: Devices | None = None,
    given: Collection[str] | None = None,
    keep_epochs: bool = False,
) -> dict[str, Any]:
    """Train `recipe.network` on the photos below `data`, write it to `out` and return what history.json holds.

    With `given`, the names of settings that somebody chose, the others are fitted to the number of photos
    (`training.tasks.sizes`); without, all are the recipe's. With `keep_epochs`, the network as it was after each epoch
    is written too (`training.fitting.kept`).
    """
    devices = devices or Devices()
    deterministic(recipe.seed)
    checkpoints = Checkpoints(out)
    if not resume and checkpoints.folder.exists():
        checkpoints.begin(recipe, "", resume)  # refuses before an hour of reading photos, not after
    with devices.scope():
        network, views, side = start(recipe, checkpoints.folder)
    splits, tally, fingerprint = dataset.load(data, side, recipe.stored, recipe.classes)
    if given is not None:
        recipe = views.recipe = sizes.fitted(recipe, len(splits["train"].labels), given)
    state = checkpoints.begin(recipe, fingerprint, resume)
    kept = KeptEpochs(checkpoints.folder) if keep_epochs else None
    if kept:
        kept.check(len(state.epochs))
    batches = -(-len(splits["train"].labels) // recipe.batch_size)
    with devices.scope():
        if state.epochs:
            network = checkpoints.resume(state)
            network.optimizer.exclude_from_weight_decay(var_names=UNDECAYED)  # Keras does not save this either
        else:
            if given is not None:
                sizes.normalise_for(network, batches)
            compile_for(network, recipe, batches)
    print(
        f"{tally.used} photos used, {len(tally.skipped)} skipped; "
        + ", ".join(f"{name} {len(split.labels)}" for name, split in splits.items()),
        flush=True,
    )
    fit(
        network,
        recipe,
        devices,
        views,
        splits,
        state,
        checkpoints,
        lambda record: learning_curves.log(record, out / "logs"),
        kept,
    )
    trained = checkpoints.load(state.shipped)
    shipped, temperature, calibration = _calibrated(trained, recipe, *views.photos(splits["calibration"]))
    right = round(state.epochs[state.shipped - 1]["validation_accuracy"] * len(splits["validation"].labels))
    history: dict[str, Any] = {
        "network": recipe.network,
        "version": recipe.version,
        "classes": list(recipe.classes),
        "recipe": asdict(recipe),
        "photos": {name: dataset.counts(split, recipe.classes) for name, split in splits.items()}
        | {"skipped": len(tally.skipped)},
        "photos_sha256": fingerprint,
        "machine": checkpoint.machine(),
        "seconds": round(state.seconds, 1),
        "best_epoch": state.best,
        "shipped_epoch": state.shipped,
        "calibration": calibration,
        "validation": learned.validated(right, splits["validation"].labels),
        **({"start": state.start} if kept else {}),
        "epochs": state.epochs,
    }
    rows = None
    if kept:
        network = build(recipe.network, classes=len(recipe.classes))
        rows = kept.all(network, len(state.epochs), temperature, recipe.offset / temperature)
    checkpoint.ship(shipped, history, out, rows)
    learning_curves.draw(history, out / "learning_curves.png")
    checkpoints.remove()
    known = history["validation"]
    print(
        f"shipped is epoch {state.shipped} of {len(state.epochs)}: validation accuracy {known['accuracy']:.4f} "
        f"({known['low']:.3f} to {known['high']:.3f} on {known['photos']} photos)"
    )
    return history


def start(recipe: Recipe, scenes: Path) -> tuple[keras.Model, Photos | Scenes, int]:
    """The network to train, how it sees photos, and the side of its photos in pixels.

    A recipe with frozen layers starts from ImageNet's weights and trains only the part behind those layers; scenes are
    stored in the folder `scenes` while it trains.
    """
    if not recipe.frozen:
        network = build(recipe.network, training=True, classes=len(recipe.classes))
        return network, Photos(recipe, network.input_shape[1]), network.input_shape[1]
    network = pretrained.pretrained()
    return trainable_part(network, recipe.frozen), Scenes(recipe, network, scenes), network.input_shape[1]


def _calibrated(
    trained: keras.Model, recipe: Recipe, inputs: np.ndarray, labels: np.ndarray
) -> tuple[keras.Model, float, dict[str, Any]]:
    """The folded network, the temperature in it, and how the calibration split was used: to fit that and the unsure band."""
    with averaged(trained):
        plain = build(recipe.network, classes=len(recipe.classes))
        if recipe.frozen:
            before = pretrained.pretrained()
            blend(trained, trainable_part(before, recipe.frozen).get_weights(), recipe.blend)
            fold(before, plain=plain)
        scores = predict_scores(trained, inputs)
        if recipe.offset:
            scores = scores + np.array([recipe.offset, -recipe.offset]) / 2
        temperature, band = calibrate.calibrated(scores, labels, recipe.decided, recipe.most_unsure)
        if few := calibrate.warning(len(labels), band):
            print(few, flush=True)
        shipped = fold(trained, temperature, recipe.offset / temperature, plain)
    return shipped, temperature, {"temperature": round(temperature, 4), "count": len(scores), "band": asdict(band)}
