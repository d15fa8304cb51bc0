"""The feature maps of one pass come in; a picture of where in the photo the evidence for a class lies goes out.

No second pass over the photo is needed, because of what follows the last stage that still is a picture:

- A network that judges each place and pools the verdicts has said it already. Each place counts as the scores would
  differ if the whole photo looked like that place: the class activation map (Zhou et al. 2016) in the units of the answer.
- Where fully connected layers follow, their slope is a matrix product: it is followed back from the score of the class, less
  the mean of the others', to that stage, and each place counts as slope times value, summed over channels (gradient times
  input, Shrikumar et al. 2016; at this stage it is Grad-CAM by Selvaraju et al. 2017 before its averaging of the slopes).
  Since ReLU is linear on either side of zero, these places, and the biases, add up to the difference of the scores exactly.
  Where a mean or maximum over all places stands between, a place counts by its share in it (for the mean, Zhou et al.).
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from PIL import Image

from app.inference import palette
from app.inference.activations import steepness
from app.inference.contract import Contract
from app.inference.network import Network

LARGEST = 320
"""Pixels on the longer side of the picture."""

OPACITY = 0.75
"""Opacity where the evidence is strongest: the heatmap never hides the photo."""


def stages_needed(contract: Contract) -> list[str]:
    """The stages whose values `evidence` reads: from the last picture to the scores."""
    names = [stage.name for stage in contract.stages]
    return names[_last_picture(contract) :]


def possible(contract: Contract) -> bool:
    """Whether there is one way from the last picture to the scores, which can be followed back."""
    tail = contract.stages[_last_picture(contract) :]
    return all(stage.inputs == (before.name,) for before, stage in pairwise(tail))


def _last_picture(contract: Contract) -> int:
    """The place among the stages of the last one with rows and columns; 0 if the photo itself is the last."""
    return max((place for place, stage in enumerate(contract.stages) if len(stage.shape) == 3), default=0)


def subject(contract: Contract, probabilities: Mapping[str, float]) -> str:
    """The class whose evidence is worth showing: of two the first, `cat`, whatever the answer; of more the likeliest."""
    if len(contract.classes) == 2:
        return contract.classes[0]
    return max(probabilities, key=lambda name: probabilities[name])


def evidence(network: Network, tensor: np.ndarray, stages: dict[str, np.ndarray], subject: str) -> np.ndarray:
    """How much each place of the last picture speaks for a class, (height, width) float64; negative speaks against.

    Args:
        network: whose last layers are followed back.
        tensor: (1, height, width, 3), the photo that was passed.
        stages: the values that pass gave to `stages_needed`.
        subject: the class.
    """
    contract = network.contract
    start = _last_picture(contract)
    last = contract.stages[start]
    picture = stages[last.name] if len(last.shape) == 3 else tensor[0]
    others = len(contract.classes) - 1
    slope = np.array([1.0 if name == subject else -1.0 / others for name in contract.classes])
    offset = 0.0
    judged = False
    for stage in reversed(contract.stages[start:]):
        if stage.kind == "dense":
            offset += float(network.bias(stage.name).astype(np.float64) @ slope)
            slope = network.kernel(stage.name).astype(np.float64) @ slope
        elif stage.kind == "relu" and len(stage.shape) == 1:
            slope = slope * (stages[stage.name] > 0)
        elif stage.kind == "activation" and len(stage.shape) == 1:
            came = stages[stage.inputs[0]].tolist()
            slope = slope * np.array([steepness(str(stage.operation), value, stage.slope) for value in came])
        elif stage.kind == "pooling" and stage.kernel is None and stage.operation != "log_mean_exp":
            slope = slope * _share(picture, stage.operation)
        elif stage.operation == "log_mean_exp":
            judged = True
    if judged:
        return np.asarray(picture @ slope + offset, np.float64)
    by_place: np.ndarray = (slope.reshape(picture.shape) * picture).sum(axis=2)
    return by_place


def _share(picture: np.ndarray, operation: str | None) -> np.ndarray:
    """What each place has in the mean or maximum of its channel over all places, (height, width, channels)."""
    height, width, channels = picture.shape
    if operation == "average":
        return np.full(picture.shape, 1 / (height * width))
    largest = np.zeros((height * width, channels))
    largest[picture.reshape(-1, channels).argmax(axis=0), np.arange(channels)] = 1
    return largest.reshape(picture.shape)


def overlay(places: np.ndarray, width: int, height: int) -> bytes:
    """A PNG to lay over a photo of `width` x `height` pixels, of the same aspect ratio, at most LARGEST wide or high.

    Only evidence for the class is coloured; where there is none, the picture is transparent.
    """
    shrink = min(1.0, LARGEST / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    positive = np.maximum(places, 0)
    share = (positive / (positive.max() or 1.0)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    alpha = np.linspace(0, 255 * OPACITY, len(palette.SEQUENTIAL)).astype(np.uint8)
    return palette.png(palette.indices(smooth, 0.0, 1.0), palette.SEQUENTIAL, alpha=alpha)
