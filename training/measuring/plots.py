"""Diagrams of a network's measurements and a sheet of its worst mistakes, as PNGs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sklearn.metrics import roc_curve

from app.inference.decode import decode
from training.measuring.metrics import BINS

_BLUE, _ORANGE, _GREY = "#00549f", "#b35900", "#888888"


def diagrams(title: str, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Confusion matrix, ROC curves and reliability diagram of one set of photos, side by side.

    With two classes there is one curve, and reliability is that of the first class; with more there is a curve for each
    class against the others, and reliability is that of the likeliest class.

    Args:
        title: names the network and the photos.
        probabilities: (n, k).
        labels: (n,) class indices, the truth.
        classes: k names.
        path: of the PNG.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    figure.suptitle(title)
    confusion, roc, reliability = figure.subplots(1, 3)
    predicted = predictions(probabilities)
    names = [name.replace("_", " ") for name in classes]
    indices = range(len(classes))
    counts = np.array([[(predicted[labels == truth] == answer).sum() for answer in indices] for truth in indices])
    confusion.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1.6)
    for (row, column), count in np.ndenumerate(counts):
        confusion.text(column, row, str(count), ha="center", va="center", fontsize=14 if len(classes) < 5 else 8)
    confusion.set(xticks=indices, yticks=indices, yticklabels=names)
    confusion.set_xticklabels(names, rotation=0 if len(classes) < 5 else 90)
    confusion.set(xlabel="the network says", ylabel="the photo shows", title="confusion")
    for index in indices if len(classes) > 2 else (0,):
        truth = labels == index
        if truth.any() and not truth.all():
            false_alarms, recalls, _ = roc_curve(truth, probabilities[:, index])
            roc.plot(false_alarms, recalls, color=_BLUE)
    roc.plot((0, 1), (0, 1), color=_GREY, linestyle=":")
    roc.set(xlabel="false-alarm rate", ylabel="recall", title="ROC", aspect="equal")
    binary = len(classes) == 2
    confidence = probabilities[:, 0] if binary else probabilities.max(axis=1)
    came_true = labels == 0 if binary else predicted == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = [b for b in range(BINS) if (bins == b).any()]
    reliability.plot((0, 1), (0, 1), color=_GREY, linestyle=":")
    reliability.plot(
        [confidence[bins == b].mean() for b in filled], [came_true[bins == b].mean() for b in filled], "o-", color=_ORANGE
    )
    reliability.bar(
        (np.arange(BINS) + 0.5) / BINS, np.bincount(bins, minlength=BINS) / len(bins), 0.9 / BINS, alpha=0.25, color=_BLUE
    )
    reliability.set(
        xlabel=f"probability of {names[0]}" if binary else "probability of the likeliest class",
        ylabel=f"fraction that are {names[0]}" if binary else "fraction that are right",
        title="reliability (bars: share of photos)",
    )
    figure.savefig(path, dpi=100)


def predictions(probabilities: np.ndarray) -> np.ndarray:
    """(..., k) probabilities -> (...) class indices: the likeliest; of two, the first only above one half."""
    if probabilities.shape[-1] == 2:
        return np.where(probabilities[..., 0] > 0.5, 0, 1)
    return np.asarray(probabilities.argmax(axis=-1))


def worst_first(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Indices of the photos that are answered wrongly, by how improbable the truth was said to be."""
    wrong = np.flatnonzero(predictions(probabilities) != labels)
    worst: np.ndarray = wrong[np.argsort(probabilities[wrong, labels[wrong]], kind="stable")]
    return worst


def mistakes(
    paths: list[Path], probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], out: Path, most: int = 60
) -> None:
    """A sheet of the photos that the network was most wrong about, the worst first, each with what it shows and what the
    network said: `probabilities` (n, k), `labels` (n,) class indices.
    """
    predicted, worst = predictions(probabilities), worst_first(probabilities, labels)[:most]
    side, columns, strip = 150, 10, 16
    sheet = Image.new("RGB", (columns * side, max(1, -(-len(worst) // columns)) * (side + strip)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for cell, row in enumerate(worst):
        x, y = cell % columns * side, cell // columns * (side + strip)
        photo = ImageOps.contain(decode(paths[row].read_bytes()).image, (side - 4, side - 4))
        sheet.paste(photo, (x + 2, y + 2))
        answer, truth = (classes[index].replace("_", " ") for index in (predicted[row], labels[row]))
        text = f"{truth}, said {answer} {probabilities[row, predicted[row]]:.3f}"
        draw.text((x + 4, y + side), text, "black", font)
    sheet.save(out)
