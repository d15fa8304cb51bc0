"""The plain layers that stand for somebody's network so far."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

Tensor = Any
"""One of Keras' symbolic tensors."""

PROBABILITIES, SCORES = "probabilities", "scores"


@dataclass(frozen=True)
class Scaled:
    """A row of numbers that wait for the fully connected layer that takes their factors and shifts in."""

    tensor: Tensor
    factor: np.ndarray
    shift: np.ndarray

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The row's."""
        shape: tuple[int | None, ...] = self.tensor.shape
        return shape


class PlainLayers:
    """The plain layers made so far. Their weights are set aside until all are made, since folding changes them."""

    def __init__(self) -> None:
        self.weights: dict[str, list[np.ndarray]] = {}
        self._names = {"image", "rescale", SCORES, PROBABILITIES}
        self.linear: dict[int, keras.layers.Layer] = {}  # by the id() of its output: what a normalisation folds into
        self._tensors: list[Tensor] = []  # held, so that Python gives no identity twice

    def add(self, layer: keras.layers.Layer, x: Tensor, weights: list[np.ndarray] | None = None) -> Tensor:
        """`layer` applied to `x`; its `weights` are set in the end."""
        if weights:
            self.weights[layer.name] = weights
        result = layer(x)
        self._tensors.append(result)
        return result

    def named(self, name: str) -> str:
        """A name that no stage has yet, made of letters that an address can hold."""
        plain = "".join(c if c.isalnum() or c in "_-." else "_" for c in name)
        free, number = plain, 1
        while free in self._names:
            free, number = f"{plain}_{number}", number + 1
        self._names.add(free)
        return free

    def channelwise(self, name: str, x: Tensor, factor: np.ndarray, shift: np.ndarray) -> Tensor:
        """A factor and a shift for each channel: of pictures a depthwise convolution of one pixel."""
        ones = np.ones((1, 1, x.shape[-1], 1))
        plain = layers.DepthwiseConv2D(1, name=self.named(name))
        return self.add(plain, x, [ones * np.reshape(factor, (1, 1, -1, 1)), np.zeros(x.shape[-1]) + shift])


def unreserved(name: str) -> str:
    """A layer's name, unless it is the one that the softmax in the end will have."""
    return SCORES if name == PROBABILITIES else name
