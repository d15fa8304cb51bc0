"""The feature maps of one pass come in; a picture of where in the photo the evidence for a class lies goes out.

No second pass is needed. What is computed depends on the layers after the last spatial stage (with rows and columns):

- A network that scores each position and pools the scores has already done the work. A position's evidence is what the
  difference of the scores would be if the whole photo looked like it: the class activation map (Zhou et al. 2016) in units
  of the scores.
- Through fully connected layers the gradient is a matrix product. It is propagated back from the class's score, minus the
  mean of the others, to the spatial stage. A position's evidence is gradient times value, summed over channels (gradient
  times input, Shrikumar et al. 2016; Grad-CAM by Selvaraju et al. 2017 before it averages the gradients). Since ReLU is
  linear on either side of zero, the evidence of all positions plus the biases is exactly the difference of the scores.
  If a mean or maximum over all positions comes between, each position gets its share of it (for the mean, Zhou et al.).
  A layer normalisation is followed by its gradient, and the sum is then no longer exact.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from PIL import Image

from app.inference.drawing import colours, png
from app.inference.networks.activations import derivative
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines.network import Network

CATS = ("cat", "not_cat")
"""The classes of the networks that look for cats."""

MAX_SIDE = 320
"""Pixels on the longer side of the picture."""

OPACITY = 0.75
"""Opacity of the contours; below 1, so that nothing of the photo is hidden."""

CONTOURS = (0.25, 0.5, 0.75)
"""Where lines are drawn, as shares of the strongest evidence."""

_DIM, _TINT, _LEVELS = 0.4, 0.5, 250  # opacity of the tint without evidence and at the strongest; its colours


def stages_needed(contract: Contract) -> list[str]:
    """The stages whose values `evidence` reads: from the last spatial stage to the scores."""
    names = [stage.name for stage in contract.stages]
    return names[_last_spatial(contract) :]


def possible(contract: Contract) -> bool:
    """Whether a single path leads from the last spatial stage to the scores, so that `evidence` can follow it back."""
    tail = contract.stages[_last_spatial(contract) :]
    return all(stage.inputs == (before.name,) for before, stage in pairwise(tail))


def _last_spatial(contract: Contract) -> int:
    """The index of the last stage with rows and columns; 0 if only the photo itself has them."""
    return max((index for index, stage in enumerate(contract.stages) if len(stage.shape) == 3), default=0)


def subject(contract: Contract, probabilities: Mapping[str, float]) -> str:
    """The class whose evidence is shown: the likeliest; of the networks that look for cats `cat`, whatever the answer."""
    if contract.classes == CATS:
        return contract.classes[0]
    return max(probabilities, key=lambda name: probabilities[name])


def evidence(network: Network, tensor: np.ndarray, stages: dict[str, np.ndarray], subject: str) -> np.ndarray:
    """The evidence for a class at each position of the last spatial stage, (height, width) float64; negative is against it.

    Args:
        network: the network, whose weights are read.
        tensor: (1, height, width, 3), the input of the pass.
        stages: the values of `stages_needed` in that pass.
        subject: the class.
    """
    contract = network.contract
    start = _last_spatial(contract)
    last = contract.stages[start]
    picture = stages[last.name] if len(last.shape) == 3 else tensor[0]
    others = len(contract.classes) - 1
    gradient = np.array([1.0 if name == subject else -1.0 / others for name in contract.classes])
    offset = 0.0
    positions_scored = False
    for stage in reversed(contract.stages[start:]):
        if len(stage.shape) == 1 and stage.name in network.changes.muted:
            gradient = gradient * ~network.changes.muted[stage.name]
        if stage.kind == "dense":
            offset += float(network.bias(stage.name).astype(np.float64) @ gradient)
            gradient = network.kernel(stage.name).astype(np.float64) @ gradient
        elif stage.kind == "relu" and len(stage.shape) == 1:
            gradient = gradient * (stages[stage.name] > 0)
        elif stage.kind == "activation" and len(stage.shape) == 1:
            inputs = stages[stage.inputs[0]].tolist()
            slopes = network.slopes(stage.name) if stage.operation == "prelu" else np.array(stage.slope)
            pairs = zip(inputs, np.broadcast_to(slopes, len(inputs)).tolist(), strict=True)
            gradient = gradient * np.array([derivative(str(stage.operation), *pair) for pair in pairs])
        elif stage.kind == "normalization" and len(stage.shape) == 1:
            gradient = _through_normalization(network, stage, stages[stage.inputs[0]], gradient)
        elif stage.kind == "pooling" and stage.kernel is None and stage.operation != "log_mean_exp":
            gradient = gradient * _share(picture, stage.operation)
        elif stage.operation == "log_mean_exp":
            positions_scored = True
    if positions_scored:
        return np.asarray(picture @ gradient + offset, np.float64)
    by_position: np.ndarray = (gradient.reshape(picture.shape) * picture).sum(axis=2)
    return by_position


def _through_normalization(network: Network, stage: Stage, values: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient (n,) before a layer normalisation of `values` (n,), from the gradient after it."""
    gamma, _ = network.normalization(stage.name)
    deviation = np.sqrt(values.astype(np.float64).var() + (stage.epsilon or 0.0))
    normal = (values.astype(np.float64) - values.mean(dtype=np.float64)) / deviation
    scaled = gradient * gamma
    before: np.ndarray = (scaled - scaled.mean() - normal * (scaled * normal).mean()) / deviation
    return before


def _share(picture: np.ndarray, operation: str | None) -> np.ndarray:
    """Each position's share in the mean or maximum of its channel over all positions, (height, width, channels)."""
    height, width, channels = picture.shape
    if operation == "average":
        return np.full(picture.shape, 1 / (height * width))
    largest = np.zeros((height * width, channels))
    largest[picture.reshape(-1, channels).argmax(axis=0), np.arange(channels)] = 1
    return largest.reshape(picture.shape)


def overlay(evidence: np.ndarray, width: int, height: int) -> bytes:
    """A PNG to lay over a photo of `width` x `height` pixels, of the same aspect ratio, at most MAX_SIDE wide and high.

    The photo shines through everywhere. Without evidence for the class it is dimmed; with it, it is tinted on the sequential
    scale, and CONTOURS are drawn in light lines with dark edges, which can be told from any photo. If there is no evidence
    for the class anywhere, only the contour of the part that comes closest is drawn, and nothing is dimmed.
    """
    shrink = min(1.0, MAX_SIDE / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    has_evidence = evidence.max() > 0
    bottom = 0.0 if has_evidence else float(evidence.min())
    share = np.maximum((evidence - bottom) / ((evidence.max() - bottom) or 1.0), 0).astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    ramp = colours.SEQUENTIAL[np.linspace(0, 254, _LEVELS).astype(int)]
    levels = np.minimum(colours.indices(smooth, 0.0, 1.0).astype(int) * _LEVELS // 255, _LEVELS - 1).astype(np.uint8)
    tint = np.linspace(_DIM, _TINT, _LEVELS) if has_evidence else np.zeros(_LEVELS)
    for contour in CONTOURS if has_evidence else CONTOURS[-1:]:
        line = _edge(smooth >= contour)
        levels[_grown(line) & (levels < _LEVELS)] = _LEVELS  # the dark edge
        levels[line] = _LEVELS + 1
    palette = np.concatenate([ramp, [[0, 0, 0], [255, 255, 255]]]).astype(np.uint8)
    alpha = (255 * np.concatenate([tint, [OPACITY, OPACITY]])).astype(np.uint8)
    return png.encode_levels(levels, palette, alpha=alpha)


def _edge(inside: np.ndarray) -> np.ndarray:
    """The cells of a region, (height, width) bool, that touch one outside it; the picture's own edge is none."""
    edge: np.ndarray = inside & _grown(~inside)
    return edge


def _grown(region: np.ndarray) -> np.ndarray:
    """A region, (height, width) bool, and the cells beside it."""
    padded = np.pad(region, 1)
    rows, columns = region.shape
    shifted = [padded[y : y + rows, x : x + columns] for y, x in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))]
    grown: np.ndarray = np.logical_or.reduce(shifted)
    return grown
