"""Photos of any classes come in; a network that starts from the convolutions of the shipped `cat` goes out.

Those convolutions stay as they are: every photo passes through them once, and only the judges that score each position of
what comes out are fitted (`training.transfer.judges`). Up to FEW photos, cross-validation says how good they are, and
where the temperature and the `unsure` band lie; the judges that are shipped are fitted on all photos. From there on, the
photos are split as for other networks.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import log_softmax

from app.teach import calibrate
from training.config import Recipe
from training.data import dataset
from training.errors import TrainingError
from training.fitting import checkpoint
from training.fitting.fit import deterministic
from training.fitting.frozen import CHUNK, frozen, in_chunks
from training.measuring import learned
from training.networks import cat
from training.networks.pretrained import SHARPNESS
from training.progress import Progress
from training.transfer import judges
from training.transfer.judges import Judges

SIDE = 224
"""Height and width in pixels of the photos that these networks take."""

SHIPPED = Path(__file__).parents[2] / "model" / "cat" / "model.keras"

FEW = 1_500
"""Up to so many photos, cross-validation instead of a single split."""


def transfer(recipe: Recipe, data: Path, out: Path) -> dict[str, Any]:
    """Fit judges of `recipe.classes` on the photos below `data`, write model.keras and history.json to `out`, and return
    what history.json holds. Raises TrainingError for unusable photos, and where the shipped network is missing.
    """
    started = time.perf_counter()
    deterministic(recipe.seed)
    classes = len(recipe.classes)
    network = start(classes)
    splits, tally, fingerprint = dataset.load(data, SIDE, 1.0, recipe.classes)
    print(f"{tally.used} photos used, {len(tally.skipped)} skipped", flush=True)
    seen = {name: features(network, split.pixels) for name, split in splits.items()}
    if tally.used <= FEW:
        everything = np.concatenate(list(seen.values()))
        seen.clear()
        labels = np.concatenate([split.labels for split in splits.values()])
        groups = np.concatenate([split.groups for split in splits.values()])
        penalty = best_penalty(judges.means(everything), labels, groups, classes, recipe.seed)
        scores = judges.out_of_fold(everything, labels, groups, classes, recipe.seed, penalty)
        fitted = judges.fit(everything, labels, classes, penalty)
        validation = calibration = (scores, labels)
        how = f"{len(judges.folds(labels, groups, recipe.seed))}-fold cross-validation"
    else:
        train, labels = seen["train"], splits["train"].labels
        penalty = best_penalty(judges.means(train), labels, splits["train"].groups, classes, recipe.seed)
        fitted = judges.fit(train, labels, classes, penalty)
        validation = (fitted.scores(seen["validation"]), splits["validation"].labels)
        calibration = (fitted.scores(seen["calibration"]), splits["calibration"].labels)
        how = "validation split"
    temperature, band = calibrate.calibrated(*calibration, recipe.decided, recipe.most_unsure)
    if few := calibrate.warning(len(calibration[1]), band):
        print(few, flush=True)
    right = int((validation[0].argmax(axis=1) == validation[1]).sum())
    history: dict[str, Any] = {
        "network": recipe.network,
        "version": recipe.version,
        "classes": list(recipe.classes),
        "started_from": "cat",
        "penalty": penalty,
        "photos": {name: dataset.counts(split, recipe.classes) for name, split in splits.items()}
        | {"skipped": len(tally.skipped)},
        "photos_sha256": fingerprint,
        "machine": checkpoint.machine(),
        "calibration": {"temperature": round(temperature, 4), "count": len(calibration[1]), "band": asdict(band)},
        "validation": {"how": how} | learned.validated(right, validation[1]),
        "seconds": round(time.perf_counter() - started, 1),
        "epochs": [],
    }
    fill(network, fitted, temperature)
    checkpoint.ship(network, history, out)
    known = history["validation"]
    print(
        f"accuracy {known['accuracy']:.4f} ({known['low']:.3f} to {known['high']:.3f}) in {how} of {known['photos']} photos"
    )
    return history


def start(classes: int) -> keras.Model:
    """The network with the shipped convolutions, and judges that know nothing yet."""
    if not SHIPPED.is_file():
        raise TrainingError(f"{SHIPPED} is missing; its convolutions are what --network cat starts from for these classes")
    shipped = keras.saving.load_model(SHIPPED, compile=False)
    network = cat.build(side=SIDE, judges=classes)
    for layer in network.layers:
        if layer.get_weights() and layer.name not in ("evidence", "scores"):
            layer.set_weights(shipped.get_layer(layer.name).get_weights())
    return network


def features(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """(n, SIDE, SIDE, 3) uint8 -> (n, height, width, channels) float16, what the last convolution makes of photos."""
    see = frozen(network, ["head"])
    chunks = in_chunks(lambda rows: see(pixels[rows].astype(np.float32))[0].astype(np.float16), len(pixels))
    return np.concatenate(list(Progress(-(-len(pixels) // CHUNK), "looking at photos", "batch").over(chunks)))


def fill(network: keras.Model, fitted: Judges, temperature: float) -> None:
    """Give the network its judges; the temperature divides the scores."""
    kernel, bias = fitted.kernel * SHARPNESS, fitted.bias * SHARPNESS
    network.get_layer("evidence").set_weights([kernel[None, None], bias])
    unit = np.eye(len(bias)) / SHARPNESS / temperature
    network.get_layer("scores").set_weights([unit, np.zeros(len(bias))])


def best_penalty(means: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int, seed: int) -> float:
    """The penalty with the lowest log loss in cross-validation on the features' means."""

    def loss(penalty: float) -> float:
        scores = judges.out_of_fold(means, labels, groups, classes, seed, penalty)
        return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())

    return min(judges.PENALTIES, key=loss)
