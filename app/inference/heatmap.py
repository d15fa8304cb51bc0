"""The feature maps of one pass come in; a picture of where in the photo the evidence for a cat lies goes out.

No second pass over the photo is needed, because of what follows the last stage that still is a picture:

- A network that judges each place and pools the verdicts has said it already. Each place counts as the scores would
  differ if the whole photo looked like that place: the class activation map (Zhou et al. 2016) in the units of the answer.
- Where fully connected layers follow, their slope is a matrix product: it is followed back from the difference of the two
  scores to that stage, and each place counts as slope times value, summed over channels (gradient times input, Shrikumar
  et al. 2016; at this stage it is Grad-CAM by Selvaraju et al. 2017 before its averaging of the slopes). Since ReLU is
  linear on either side of zero, these places, and the biases, add up to the difference of the scores exactly.
"""

import numpy as np
from PIL import Image

from app.inference import palette
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


def _last_picture(contract: Contract) -> int:
    """The place among the stages of the last one with rows and columns; 0 if the photo itself is the last."""
    return max((place for place, stage in enumerate(contract.stages) if len(stage.shape) == 3), default=0)


def evidence(network: Network, tensor: np.ndarray, stages: dict[str, np.ndarray]) -> np.ndarray:
    """How much each place of the last picture speaks for a cat, (height, width) float64; negative speaks against.

    Args:
        network: whose last layers are followed back.
        tensor: (1, height, width, 3), the photo that was passed.
        stages: the values that pass gave to `stages_needed`.
    """
    contract = network.contract
    start = _last_picture(contract)
    last = contract.stages[start]
    picture = stages[last.name] if len(last.shape) == 3 else tensor[0]
    slope, offset = np.array([1.0, -1.0]), 0.0  # of (score of cat - score of not_cat)
    judged = False
    for stage in reversed(contract.stages[start:]):
        if stage.kind == "dense":
            offset += float(network.bias(stage.name).astype(np.float64) @ slope)
            slope = network.kernel(stage.name).astype(np.float64) @ slope
        elif stage.kind == "relu" and len(stage.shape) == 1:
            slope = slope * (stages[stage.name] > 0)
        elif stage.operation == "log_mean_exp":
            judged = True
    if judged:
        return np.asarray(picture @ slope + offset, np.float64)
    by_place: np.ndarray = (slope.reshape(picture.shape) * picture).sum(axis=2)
    return by_place


def overlay(places: np.ndarray, width: int, height: int) -> bytes:
    """A PNG to lay over a photo of `width` x `height` pixels, of the same aspect ratio, at most LARGEST wide or high.

    Only evidence for a cat is coloured; where there is none, the picture is transparent.
    """
    shrink = min(1.0, LARGEST / max(width, height))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    positive = np.maximum(places, 0)
    share = (positive / (positive.max() or 1.0)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    alpha = np.linspace(0, 255 * OPACITY, len(palette.SEQUENTIAL)).astype(np.uint8)
    return palette.png(palette.indices(smooth, 0.0, 1.0), palette.SEQUENTIAL, alpha=alpha)
