"""A folder of photos comes in, a trained network goes out.

    python -m training.train --network tutorial --data photos --out model/tutorial

`photos` holds the folders cat/ and not_cat/. Ctrl-C or a kill loses at most the epoch under way; the same command with
--resume goes on. Written below --out: model.keras (the network, folded and calibrated), history.json (the recipe, every
epoch, the calibration), learning_curves.png, and logs/ for TensorBoard.
"""

import json
import math
import os
import platform
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from training import calibrate, checkpoint, curves, dataset
from training.augment import augment
from training.checkpoint import Checkpoints, State
from training.config import CLASSES, RECIPES, Recipe
from training.errors import Parser, TrainingError, run
from training.fold import fold
from training.networks import build

UNDECAYED = ["bias", "beta"]
"""Weights that weight decay leaves alone, by a part of their names."""


def main() -> None:
    """Read the command line and train."""
    parser = Parser(prog="python -m training.train", description=__doc__.split("\n")[0])
    parser.add_argument("--network", required=True, choices=sorted(RECIPES), help="which network to train")
    parser.add_argument("--data", required=True, type=Path, help="folder that holds cat/ and not_cat/ with photos")
    parser.add_argument("--out", required=True, type=Path, help="folder to write the network to, such as model/tutorial")
    parser.add_argument("--resume", action="store_true", help="go on with the run that was stopped")
    for option in ("epochs", "batch_size", "learning_rate", "patience", "seed"):
        kind = next(f.type for f in fields(Recipe) if f.name == option)
        parser.add_argument(
            f"--{option.replace('_', '-')}", type=int if kind is int else float, help="replaces the recipe's"
        )
    arguments = vars(parser.parse_args())
    network, data, out, resume = (arguments.pop(name) for name in ("network", "data", "out", "resume"))
    recipe = replace(RECIPES[network], **{name: value for name, value in arguments.items() if value is not None})
    if min(recipe.epochs, recipe.batch_size, recipe.patience) < 1 or not 0 < recipe.learning_rate < math.inf:
        raise TrainingError("epochs, batch size, patience and learning rate must be above zero, and finite")
    if recipe.seed < 0:
        raise TrainingError("the seed must not be negative")
    train(recipe, data, out, resume)


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False) -> dict[str, Any]:
    """Train `recipe.network` on the photos below `data`, write it to `out` and return what history.json holds."""
    deterministic(recipe.seed)
    network = build(recipe.network, training=True)
    side = network.input_shape[1]
    checkpoints = Checkpoints(out)
    if not resume and checkpoints.folder.exists():
        checkpoints.begin(recipe, "", resume)  # says so before an hour of reading photos, not after
    splits, tally, fingerprint = dataset.load(data, side)
    state = checkpoints.begin(recipe, fingerprint, resume)
    batches = -(-len(splits["train"].labels) // recipe.batch_size)
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
    _epochs(network, recipe, splits, state, checkpoints, batches, out)
    trained = checkpoints.load(state.shipped)
    shipped, calibration = _calibrated(trained, recipe, splits["calibration"])
    history = {
        "network": recipe.network,
        "version": recipe.version,
        "recipe": asdict(recipe),
        "photos": {name: _counts(split) for name, split in splits.items()} | {"skipped": len(tally.skipped)},
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
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=UNDECAYED)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    network.compile(optimizer, loss)


def _epochs(
    network: keras.Model,
    recipe: Recipe,
    splits: dict[str, dataset.Split],
    state: State,
    checkpoints: Checkpoints,
    batches: int,
    out: Path,
) -> None:
    """Train until the recipe's last epoch or until patience ends, with one progress bar for the whole run."""
    train_split, validation = splits["train"], splits["validation"]
    targets = np.eye(len(CLASSES), dtype=np.float32)[train_split.labels]
    weights = class_weights(train_split.labels)[train_split.labels]
    side = network.input_shape[1]
    done = len(state.epochs)
    if done - state.best >= recipe.patience:
        return  # it was killed after its early stop
    with tqdm(total=recipe.epochs * batches, initial=done * batches, unit="batch", dynamic_ncols=True) as bar:
        for epoch in range(done + 1, recipe.epochs + 1):
            started = time.perf_counter()
            order = np.random.default_rng([recipe.seed, epoch]).permutation(len(targets))
            losses = []
            for batch in range(batches):
                rows = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
                seed = (recipe.seed * 10_000 + epoch) * 100_000 + batch
                views = augment(train_split.pixels[rows], recipe, side, seed % 2**31)
                losses.append(float(network.train_on_batch(views, targets[rows], weights[rows])) * len(rows))
                bar.set_description(
                    f"epoch {epoch}/{recipe.epochs} loss {sum(losses) / ((batch + 1) * recipe.batch_size):.4f}"
                )
                bar.update()
            loss, accuracy = _validate(network, validation)
            state.seconds += time.perf_counter() - started
            record = {
                "epoch": epoch,
                "loss": round(sum(losses) / len(order), 6),
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


def class_weights(labels: np.ndarray) -> np.ndarray:
    """The weight of each class for which all classes count alike, 1 on average over the photos."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    return (len(labels) / (len(CLASSES) * counts)).astype(np.float32)


def _validate(network: keras.Model, split: dataset.Split) -> tuple[float, float]:
    """Log loss and accuracy on the photos as they are."""
    scores = predict_scores(network, split.pixels)
    log_probabilities = log_softmax(scores, axis=1)[np.arange(len(scores)), split.labels]
    return float(-log_probabilities.mean()), float((scores.argmax(axis=1) == split.labels).mean())


def predict_scores(network: keras.Model, pixels: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """What the network answers for (n, H, W, 3) uint8 photos, (n, 2) float64."""
    chunks = [pixels[i : i + batch_size].astype(np.float32) for i in range(0, len(pixels), batch_size)]
    return np.concatenate([np.asarray(network.predict_on_batch(chunk)) for chunk in chunks]).astype(np.float64)


def _calibrated(trained: keras.Model, recipe: Recipe, split: dataset.Split) -> tuple[keras.Model, dict[str, Any]]:
    """Fold the network with the temperature that its calibration split asks for, and choose the unsure band there."""
    scores = predict_scores(trained, split.pixels)
    temperature = calibrate.temperature(scores, split.labels)
    cat = softmax(scores / temperature, axis=1)[:, 0]
    band = calibrate.unsure_band(cat, split.labels == 0, recipe.decided, recipe.most_unsure)
    return fold(trained, temperature), {"temperature": round(temperature, 4), "count": len(scores), "band": asdict(band)}


def _counts(split: dataset.Split) -> dict[str, int]:
    return {name: int((split.labels == label).sum()) for label, name in enumerate(CLASSES)}


if __name__ == "__main__":
    run(main)
