"""The network that answers by default: EfficientNet-Lite0, taught to find a cat anywhere in a photo.

Tan and Le 2019 (EfficientNet); the Lite variants by Liu and Tan 2020 drop squeeze-and-excitation and use ReLU6. Every line
below is a stage or a group of stages, for a photo of 384x384x3:

    normalize  384x384x3      (photo - 127) / 128
    stem       192x192x32     3x3 convolution, every second pixel
    block1     192x192x16     a block widens its channels (expand, 1x1), looks at neighbours in each channel on its own
    block2-3    96x96x24      (depthwise, 3x3 or 5x5) and narrows them again (project, 1x1): an inverted residual
    block4-5    48x48x40      (Sandler et al. 2018). Where input and output have one shape they are added up.
    block6-8    24x24x80
    block9-11   24x24x112
    block12-15  12x12x192
    block16     12x12x320
    head        12x12x1280    1x1 convolution
    likeness    12x12x1       a score for each position: how much it looks like a cat
    rivals      12x12x32      how much it looks like something else: a rabbit, a lynx, ...; never below zero
    doubt       12x12x1       their weighted sum: a rival may speak against a cat and never for one
    evidence    12x12x1       likeness plus doubt
    pooled          1         the logarithm of the mean of its exponentials: one certain position is enough
    scores          2         for and against
    probabilities   2

ImageNet's networks average over all positions and then classify; here each position is classified and then the scores are
pooled, so that a cat on two positions of a hundred is not averaged away. That also makes `evidence` the class activation map
(Zhou et al. 2016) of the very probability that is reported.

Version 1.0.0 has 304x304 pixels and no rivals; there, and in the networks that teach it, `evidence` is what is called
`likeness` here.

Batch normalisation is folded into the convolutions before training starts and never comes back: with photos as few as
here, ImageNet's statistics are the better ones.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

from app.inference.networks.pooling import LogMeanExpPooling2D

SIDE = 304
"""Height and width in pixels of the photo that version 1.0.0 takes."""


@dataclass(frozen=True)
class Group:
    """Blocks that share a shape: only the first of them has the `stride`."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (
    Group(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    Group(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    Group(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    Group(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    Group(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
    Group(blocks=4, kernel=5, stride=2, expansion=6, channels=192),
    Group(blocks=1, kernel=3, stride=1, expansion=6, channels=320),
)
STEM = 32
HEAD = 1280

SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""How much wider and deeper each EfficientNet-Lite is; the larger ones only teach, see `training.fitting.views`."""


def build(
    training: bool = False,
    side: int = SIDE,
    scale: str = "lite0",
    rivals: int = 0,
    judges: int = 0,
    mean: bool = False,
) -> keras.Model:
    """(n, side, side, 3) float32, 0..255 -> (n, 2) float32 probabilities of (cat, not_cat); `side` a multiple of 16.

    With `judges`, as many classes of any kind: `evidence` scores each position for each class, and there are no rivals. With
    `mean`, the scores of the positions are averaged, as in the networks that the service teaches.

    With `training`, the outputs are `scores` (logits) and `evidence`, or `likeness` if there are `rivals`. The weights are
    random; `training.networks.pretrained` fills them.
    """
    x = photo = keras.Input((side, side, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalize")(x)
    x = layers.Conv2D(STEM, 3, strides=2, padding="same", activation="relu6", name="stem")(x)
    block = 0
    for group in _scaled(*SCALES[scale]):
        for index in range(group.blocks):
            block += 1
            x = _block(x, f"block{block}", group, group.stride if index == 0 else 1)
    head = layers.Conv2D(HEAD, 1, activation="relu6", name="head")(x)
    x = likeness = layers.Conv2D(judges or 1, 1, name="likeness" if rivals else "evidence")(head)
    if rivals:
        x = layers.Add(name="evidence")([likeness, _doubt(head, rivals, training)])
    x = (layers.GlobalAveragePooling2D if mean else LogMeanExpPooling2D)(name="pooled")(x)
    x = layers.Dense(judges or 2, name="scores")(x)
    if training:
        return keras.Model(photo, [x, likeness], name="cat")
    return keras.Model(photo, layers.Softmax(name="probabilities")(x), name="cat")


@keras.saving.register_keras_serializable(package="catscope")
class NeverPositive(keras.constraints.Constraint):  # type: ignore[misc]  # Keras has no types
    """A constraint on weights: those above zero become zero."""

    def __call__(self, w: Any) -> Any:
        """The nearest weights that are allowed."""
        return keras.ops.minimum(w, 0.0)


def _doubt(head: Any, rivals: int, training: bool) -> Any:
    """(n, h, w, channels) -> (n, h, w, 1): what speaks against a cat at each position."""
    constraint = NeverPositive() if training else None  # the shipped network loads without this module
    x = layers.Conv2D(rivals, 1, name="rivals_scores")(head)
    x = layers.Activation("softplus", name="rivals")(x)
    return layers.Conv2D(1, 1, kernel_constraint=constraint, name="doubt")(x)


def _scaled(width: float, depth: float) -> tuple[Group, ...]:
    """The groups of a wider and deeper network; the first and the last group keep their one block, all the stem and head."""
    inner = range(1, len(GROUPS) - 1)
    return tuple(
        replace(
            group,
            blocks=math.ceil(group.blocks * depth) if index in inner else group.blocks,
            channels=_by_eight(group.channels * width),
        )
        for index, group in enumerate(GROUPS)
    )


def _by_eight(channels: float) -> int:
    """The nearest multiple of eight, but never less than nine tenths of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _block(x: Any, name: str, group: Group, stride: int) -> Any:
    """An inverted residual. What comes out of it has the block's own name, the layers inside have longer ones."""
    came_in = x
    channels = x.shape[-1]
    residual = stride == 1 and channels == group.channels
    if group.expansion > 1:
        x = layers.Conv2D(channels * group.expansion, 1, activation="relu6", name=f"{name}_expand")(x)
    x = layers.DepthwiseConv2D(group.kernel, strides=stride, padding="same", activation="relu6", name=f"{name}_depthwise")(x)
    x = layers.Conv2D(group.channels, 1, name=f"{name}_project" if residual else name)(x)
    return layers.Add(name=name)([x, came_in]) if residual else x
