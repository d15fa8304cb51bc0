"""The trained network comes in, the network to ship goes out: the same function in fewer layers.

Rescaling is a factor on the first layer's kernel. Batch normalisation without a scale of its own subtracts the mean and
divides by a positive deviation, which commutes with max pooling, so it becomes part of the layer before. A temperature
(Guo et al. 2017) divides the scores. All three end up in kernels and biases, and the shipped network is the
chapter's plain list of layers.
"""

import keras
import numpy as np

from training.networks import build

WEIGHTED = keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.Dense


def fold(
    trained: keras.Model, temperature: float = 1.0, offset: float = 0.0, plain: keras.Model | None = None
) -> keras.Model:
    """The plain network that computes `softmax(trained(x) / temperature + (offset, -offset) / 2)`, up to rounding. Only two
    classes have an offset.

    `trained` is what `build(name, training=True)` made, in its layers' order, or the last part of it; layers that it
    lacks keep their weights from `plain`, a new network of that name unless one is given.
    """
    plain = plain or build(trained.name, classes=trained.outputs[0].shape[-1])
    plain_names = {layer.name for layer in plain.layers}
    factor = 1.0
    kernel = bias = None
    weighted: keras.layers.Layer | None = None
    for layer in trained.layers:
        if isinstance(layer, keras.layers.Rescaling) and layer.name not in plain_names:
            factor = float(layer.scale)
        elif isinstance(layer, WEIGHTED) and layer.name in plain_names:
            weighted = plain.get_layer(layer.name)
            kernel, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
            kernel, factor = kernel * factor, 1.0
            weighted.set_weights([kernel, bias])
        elif isinstance(layer, keras.layers.BatchNormalization):
            if layer.scale or weighted is None or kernel is None or bias is None:
                raise ValueError(f"{layer.name} cannot be folded: it must follow a weighted layer and have no scale")
            beta, mean, variance = (np.asarray(w, np.float64) for w in layer.get_weights())
            deviation = np.sqrt(variance + layer.epsilon)
            weighted.set_weights([kernel / deviation, (bias - mean) / deviation + beta])
    scores = plain.get_layer("scores")
    kernel, bias = (np.asarray(w, np.float64) / temperature for w in scores.get_weights())
    scores.set_weights([kernel, bias + np.array([offset, -offset]) / 2 if offset else bias])
    return plain
