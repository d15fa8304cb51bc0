"""Draws the strongest channels of every stage of a network for a photo, side by side.

    pip install httpx matplotlib
    python examples/feature_maps.py cat.jpg --network tutorial --out feature_maps.png

The arrays hold exactly the values that the network computed: POST /feature-maps returns them in the format of `numpy.load`.
"""

import argparse
import io
import sys
from pathlib import Path

import httpx
import matplotlib
import numpy as np

matplotlib.use("Agg")  # draws to a file, without a display
from matplotlib import pyplot

CHANNELS = 8


def feature_maps(url: str, photo: Path, network: str, key: str) -> tuple[float, dict[str, np.ndarray]]:
    """The probability of a cat, and each stage's array by its name: (height, width, channels) float32, or (n,)."""
    answer = httpx.post(
        f"{url}/feature-maps",
        params={"network": network},
        files={"file": photo.read_bytes()},
        headers={"X-API-Key": key} if key else {},
        timeout=30,
    )
    if answer.is_error:
        raise ValueError(answer.text)  # problem JSON, which says what was sent and what is accepted
    with np.load(io.BytesIO(answer.content)) as arrays:
        return float(answer.headers["X-Probability-Cat"]), dict(arrays)


def strongest(stage: np.ndarray) -> list[int]:
    """The channels of a stage, (height, width, channels), with the largest mean magnitude, the largest first."""
    strength = np.abs(stage).mean(axis=(0, 1))
    return np.argsort(-strength, kind="stable")[:CHANNELS].tolist()


def draw(title: str, stages: dict[str, np.ndarray], out: Path) -> None:
    """Write a picture with one row per stage. The channels in a row share a colour scale: from black at zero if no value is
    negative, otherwise from blue through white at zero to red.
    """
    height = len(stages) * 1.5 + 0.5  # inches
    figure, rows = pyplot.subplots(len(stages), CHANNELS, figsize=(CHANNELS * 1.4, height), squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=1 - 0.8 / height, hspace=0.15)
    figure.suptitle(title, y=1 - 0.2 / height)
    for row, (name, stage) in zip(rows, stages.items(), strict=True):
        most = np.abs(stage).max()
        colours = {"cmap": "RdBu_r", "vmin": -most} if stage.min() < 0 else {"cmap": "magma", "vmin": 0}
        for axes in row:
            axes.axis("off")
        for axes, channel in zip(row, strongest(stage), strict=False):
            axes.imshow(stage[:, :, channel], vmax=most, **colours)
            axes.set_title(f"{name} {channel}", fontsize=6)
    figure.savefig(out, dpi=110)


def main() -> int:
    """Draw one photo's feature maps and print which channels are shown."""
    parser = argparse.ArgumentParser(description="What does the network see in this photo?")
    parser.add_argument("photo", nargs="?", type=Path, default=Path(__file__).with_name("chelsea.png"))
    parser.add_argument("--network", default="tutorial")
    parser.add_argument("--out", type=Path, default=Path("feature_maps.png"))
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--key", default="", help="an API key, if the service requires one")
    arguments = parser.parse_args()
    try:
        cat, stages = feature_maps(arguments.url, arguments.photo, arguments.network, arguments.key)
        pictures = {name: stage for name, stage in stages.items() if stage.ndim == 3}  # the others are vectors
        if not pictures:
            raise ValueError(f"No stage of {arguments.network} is a picture.")
    except (OSError, ValueError, httpx.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, stage in pictures.items():
        print(name, "x".join(map(str, stage.shape)), "strongest:", *strongest(stage))
    draw(f"{arguments.photo.name}: a cat with probability {cat:.4f}", pictures, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
