"""What was measured of a network comes in; its diagrams and a sheet of its worst mistakes go out as PNGs."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sklearn.metrics import roc_curve

from app.inference.decode import decode
from training.metrics import BINS

_BLUE, _ORANGE, _GREY = "#00549f", "#b35900", "#888888"


def diagrams(title: str, cat: np.ndarray, is_cat: np.ndarray, path: Path) -> None:
    """Confusion matrix, ROC curve and reliability diagram of one set of photos, side by side.

    Args:
        title: says which network on which photos.
        cat: (n,) probabilities of cat.
        is_cat: (n,) bool.
        path: of the PNG.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    figure.suptitle(title)
    confusion, roc, reliability = figure.subplots(1, 3)
    counts = np.array([[((cat > 0.5) == said)[is_cat == truth].sum() for said in (True, False)] for truth in (True, False)])
    confusion.imshow(counts / counts.sum(axis=1, keepdims=True).clip(1), cmap="Blues", vmin=0, vmax=1.6)
    for (row, column), count in np.ndenumerate(counts):
        confusion.text(column, row, str(count), ha="center", va="center", fontsize=14)
    confusion.set(xticks=(0, 1), yticks=(0, 1), xticklabels=("cat", "not cat"), yticklabels=("cat", "not cat"))
    confusion.set(xlabel="the network says", ylabel="the photo shows", title="confusion")
    if is_cat.any() and not is_cat.all():
        false_alarms, recalls, _ = roc_curve(is_cat, cat)
        roc.plot(false_alarms, recalls, color=_BLUE)
    roc.plot((0, 1), (0, 1), color=_GREY, linestyle=":")
    roc.set(xlabel="false-alarm rate", ylabel="recall", title="ROC", aspect="equal")
    bins = np.minimum((cat * BINS).astype(int), BINS - 1)
    filled = [b for b in range(BINS) if (bins == b).any()]
    reliability.plot((0, 1), (0, 1), color=_GREY, linestyle=":")
    reliability.plot(
        [cat[bins == b].mean() for b in filled], [is_cat[bins == b].mean() for b in filled], "o-", color=_ORANGE
    )
    reliability.bar(
        (np.arange(BINS) + 0.5) / BINS, np.bincount(bins, minlength=BINS) / len(cat), 0.9 / BINS, alpha=0.25, color=_BLUE
    )
    reliability.set(
        xlabel="probability of cat", ylabel="fraction that are cats", title="reliability (bars: share of photos)"
    )
    figure.savefig(path, dpi=100)


def mistakes(paths: list[Path], cat: np.ndarray, is_cat: np.ndarray, out: Path, most: int = 60) -> None:
    """A sheet of the photos that the network was most wrong about, the worst first, each with its probability of cat."""
    wrong = np.flatnonzero((cat > 0.5) != is_cat)
    worst = wrong[np.argsort(-np.abs(cat - is_cat)[wrong], kind="stable")][:most]
    side, columns, strip = 150, 10, 16
    sheet = Image.new("RGB", (columns * side, max(1, -(-len(worst) // columns)) * (side + strip)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, row in enumerate(worst):
        x, y = place % columns * side, place // columns * (side + strip)
        photo = ImageOps.contain(decode(paths[row].read_bytes()).image, (side - 4, side - 4))
        sheet.paste(photo, (x + 2, y + 2))
        draw.text((x + 4, y + side), f"{'cat' if is_cat[row] else 'not cat'}, said {cat[row]:.3f}", "black", font)
    sheet.save(out)
