"""A folder of photos comes in, a trained network goes out.

    python -m training.train --network tutorial --data photos --out model/tutorial

`photos` holds the folders cat/ and not_cat/; with --classes daisy rose tulip it holds those. Ctrl-C or a kill loses at most
the epoch under way; the same command with --resume goes on. Written below --out: model.keras (the network, folded and
calibrated), history.json (the recipe, every epoch, the calibration), learning_curves.png, and logs/ for TensorBoard.
"""

import json
import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from training import calibrate, checkpoint, curves, dataset
from training.checkpoint import Checkpoints, State
from training.config import CLASSES, RECIPES, Recipe, check_classes
from training.devices import Devices
from training.errors import Parser, TrainingError, run
from training.fold import fold
from training.frozen import rest
from training.networks import build, pretrained
from training.views import Photos, Scenes, Views

UNDECAYED = ["bias", "beta"]
"""Weights that weight decay leaves alone, by a part of their names."""


def main() -> None:
    """Read the command line and train."""
    parser = Parser(prog="python -m training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--network", required=True, choices=sorted(RECIPES), help="which network to train")
    parser.add_argument("--data", required=True, type=Path, help="folder that holds cat/ and not_cat/ with photos")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="other classes, each a folder below --data")
    parser.add_argument("--out", required=True, type=Path, help="folder to write the network to, such as model/tutorial")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was stopped")
    parser.add_argument("--distribute", action="store_true", help="train on all GPUs (or CPUs) of this machine together")
    for option in ("epochs", "batch_size", "learning_rate", "patience", "seed"):
        kind = next(f.type for f in fields(Recipe) if f.name == option)
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=int if kind is int else float, help="replaces the recipe's"
        )
    arguments = vars(parser.parse_args())
    network, data, out, resume = (arguments.pop(name) for name in ("network", "data", "out", "resume"))
    devices = Devices(arguments.pop("distribute"))
    classes = tuple(arguments.pop("classes") or CLASSES)
    check_classes(classes)
    if classes != CLASSES and RECIPES[network].frozen:
        raise TrainingError(
            f"{network} starts from ImageNet's cats and tells nothing else; for other classes train tutorial or dense, or "
            "a Keras network of your own, which python -m training.export takes"
        )
    given = {name: value for name, value in arguments.items() if value is not None}
    recipe = replace(RECIPES[network], classes=classes, **given)
    if min(recipe.epochs, recipe.batch_size, recipe.patience) < 1 or not 0 < recipe.learning_rate < math.inf:
        raise TrainingError("epochs, batch size, patience and learning rate must be above zero, and finite")
    if recipe.seed < 0:
        raise TrainingError("the seed must not be negative")
    train(recipe, data, out, resume, devices)


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False, devices: Devices | None = None) -> dict[str, Any]:
    """Train `recipe.network` on the photos below `data`, write it to `out` and return what history.json holds."""
    devices = devices or Devices()
    deterministic(recipe.seed)
    checkpoints = Checkpoints(out)
    if not resume and checkpoints.folder.exists():
        checkpoints.begin(recipe, "", resume)  # says so before an hour of reading photos, not after
    with devices.scope():
        network, views, side = start(recipe, checkpoints.folder)
    splits, tally, fingerprint = dataset.load(data, side, recipe.stored, recipe.classes)
    state = checkpoints.begin(recipe, fingerprint, resume)
    batches = -(-len(splits["train"].labels) // recipe.batch_size)
    with devices.scope():
        if state.epochs:
            network = checkpoints.resume(state)
            network.optimizer.exclude_from_weight_decay(var_names=UNDECAYED)  # Keras does not save this either
        else:
            compile_for(network, recipe, batches)
    print(
        f"{tally.used} photos used, {len(tally.skipped)} skipped; "
        + ", ".join(f"{name} {len(split.labels)}" for name, split in splits.items()),
        flush=True,
    )
    _epochs(network, recipe, devices, views, splits, state, checkpoints, batches, out)
    trained = checkpoints.load(state.shipped)
    shipped, calibration = _calibrated(trained, recipe, *views.photos(splits["calibration"]))
    history = {
        "network": recipe.network,
        "version": recipe.version,
        "classes": list(recipe.classes),
        "recipe": asdict(recipe),
        "photos": {name: _counts(split, recipe.classes) for name, split in splits.items()} | {"skipped": len(tally.skipped)},
        "photos_sha256": fingerprint,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Keras {keras.__version__} on {keras.backend.backend()}",
        "seconds": round(state.seconds, 1),
        "best_epoch": state.best,
        "shipped_epoch": state.shipped,
        "calibration": calibration,
        "epochs": state.epochs,
    }
    out.mkdir(parents=True, exist_ok=True)
    part = out / "part.keras"
    shipped.save(part)
    os.replace(part, out / "model.keras")
    checkpoint.replace(out / "history.json", json.dumps(history, indent=1) + "\n")
    curves.draw(history, out / "learning_curves.png")
    checkpoints.remove()
    record = state.epochs[state.shipped - 1]
    print(
        f"shipped is epoch {state.shipped} of {len(state.epochs)}: validation accuracy {record['validation_accuracy']:.4f}"
    )
    return history


def start(recipe: Recipe, kept: Path) -> tuple[keras.Model, Views, int]:
    """What is trained, how it sees photos, and the side of its photos in pixels.

    A recipe with frozen layers starts from ImageNet's weights, and what is trained is the network behind those layers;
    scenes are kept in the folder `kept` while it trains.
    """
    if not recipe.frozen:
        network = build(recipe.network, training=True, classes=len(recipe.classes))
        return network, Photos(recipe, network.input_shape[1]), network.input_shape[1]
    network = pretrained.pretrained()
    return rest(network, recipe.frozen), Scenes(recipe, network, kept), network.input_shape[1]


def deterministic(seed: int) -> None:
    """Same seed, same machine, same result: seed Keras, and keep TensorFlow to operations that repeat themselves."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def compile_for(network: keras.Model, recipe: Recipe, batches: int) -> None:
    """AdamW under a cosine that warms up first (Loshchilov and Hutter 2017 and 2019); `batches` an epoch."""
    steps = batches * recipe.epochs
    warm = int(steps * recipe.warmup)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20, steps - warm, alpha=0.0, warmup_target=recipe.learning_rate, warmup_steps=warm
    )
    averaging = {"use_ema": True, "ema_momentum": recipe.average} if recipe.average else {}
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, **averaging)
    optimizer.exclude_from_weight_decay(var_names=UNDECAYED)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    if len(network.outputs) == 1:
        network.compile(optimizer, loss)
    else:
        network.compile(optimizer, [loss, keras.losses.MeanSquaredError()], loss_weights=[1.0, recipe.teach])


def _epochs(
    network: keras.Model,
    recipe: Recipe,
    devices: Devices,
    views: Views,
    splits: dict[str, dataset.Split],
    state: State,
    checkpoints: Checkpoints,
    batches: int,
    out: Path,
) -> None:
    """Train until the recipe's last epoch or until patience ends, with one progress bar for the whole run."""
    done = len(state.epochs)
    if done - state.best >= recipe.patience or done == recipe.epochs:
        return  # it was killed after its last epoch
    validation = views.still(splits["validation"])
    with tqdm(total=recipe.epochs * batches, initial=done * batches, unit="batch", dynamic_ncols=True) as bar:
        for epoch in range(done + 1, recipe.epochs + 1):
            started = time.perf_counter()
            losses, seen = 0.0, 0
            for batch in views.batches(splits["train"], epoch):
                losses, seen = losses + devices.learn(network, batch) * len(batch), seen + len(batch)
                bar.set_description(f"epoch {epoch}/{recipe.epochs} loss {losses / seen:.4f}")
                bar.update()
            with averaged(network):
                loss, accuracy = _validate(network, *validation, devices)
            state.seconds += time.perf_counter() - started
            record = {
                "epoch": epoch,
                "loss": round(losses / seen, 6),
                "validation_loss": round(loss, 6),
                "validation_accuracy": round(accuracy, 6),
                "seconds": round(time.perf_counter() - started, 1),
            }
            state.epochs.append(record)
            checkpoints.save(network, state)
            curves.log(record, out / "logs")
            bar.write(" ".join(f"{name} {value}" for name, value in record.items()))
            if epoch - state.best >= recipe.patience:
                bar.write(f"stopped early: no better validation loss for {recipe.patience} epochs")
                break


@contextmanager
def averaged(network: keras.Model) -> Iterator[None]:
    """Within it, a network whose optimizer keeps a running average of its weights has that average for weights."""
    if not network.optimizer.use_ema:
        yield
        return
    kept = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in network.trainable_variables]
    network.optimizer.finalize_variable_values(network.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(network.trainable_variables, kept, strict=True):
            variable.assign(value)


def _validate(network: keras.Model, inputs: np.ndarray, labels: np.ndarray, devices: Devices) -> tuple[float, float]:
    """Log loss and accuracy."""
    scores = predict_scores(network, inputs, devices)
    log_probabilities = log_softmax(scores, axis=1)[np.arange(len(scores)), labels]
    return float(-log_probabilities.mean()), float((scores.argmax(axis=1) == labels).mean())


def predict_scores(
    network: keras.Model, inputs: np.ndarray, devices: Devices | None = None, batch_size: int = 128
) -> np.ndarray:
    """What the network's first output is for photos, or for what its frozen layers made of them, (n, classes) float64."""
    devices, scores = devices or Devices(), []
    for place in range(0, len(inputs), batch_size):
        answers = devices.answer(network, inputs[place : place + batch_size].astype(np.float32))
        scores.append(np.asarray(answers[0] if isinstance(answers, list | tuple) else answers))
    return np.concatenate(scores).astype(np.float64)


def _calibrated(
    trained: keras.Model, recipe: Recipe, inputs: np.ndarray, labels: np.ndarray
) -> tuple[keras.Model, dict[str, Any]]:
    """Fold the network with the temperature that its calibration split asks for, and choose the unsure band there."""
    with averaged(trained):
        plain = build(recipe.network, classes=len(recipe.classes))
        if recipe.frozen:
            before = pretrained.pretrained()
            blend(trained, rest(before, recipe.frozen), recipe.blend)
            fold(before, plain=plain)
        scores = predict_scores(trained, inputs)
        if recipe.offset:
            scores = scores + np.array([recipe.offset, -recipe.offset]) / 2
        temperature = calibrate.temperature(scores, labels)
        probabilities = softmax(scores / temperature, axis=1)
        if len(recipe.classes) == 2:
            band = calibrate.unsure_band(probabilities[:, 0], labels == 0, recipe.decided, recipe.most_unsure)
        else:
            band = calibrate.unsure_below(probabilities, labels, recipe.decided, recipe.most_unsure)
        shipped = fold(trained, temperature, recipe.offset / temperature, plain)
    return shipped, {"temperature": round(temperature, 4), "count": len(scores), "band": asdict(band)}


def blend(trained: keras.Model, before: keras.Model, share: float) -> None:
    """Move the weights of `trained` towards those of `before`, of which `1 - share` stays.

    Between a fine-tuned network and the one it started from lie networks that know what both know (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models").
    """
    pairs = zip(trained.get_weights(), before.get_weights(), strict=True)
    trained.set_weights([share * after + (1 - share) * start for after, start in pairs])


def _counts(split: dataset.Split, classes: tuple[str, ...]) -> dict[str, int]:
    return {name: int((split.labels == label).sum()) for label, name in enumerate(classes)}


if __name__ == "__main__":
    run(main)
