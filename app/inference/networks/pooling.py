"""The Keras layer that pools evidence: a map of scores comes in, one score for the whole photo goes out.

Keras has no such layer, and a saved network names it, so training and the Keras engine both import it from here. The
exported network does not need it: ONNX has the operator.
"""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="catscope")
class LogMeanExpPooling2D(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
    """(n, height, width, channels) -> (n, channels): the logarithm of the mean of the exponentials over all positions.

    It lies between the mean and the maximum (as a pooling: Pinheiro and Collobert 2015, "From image-level to pixel-level
    labeling"): a cat that fills the photo counts, and so does one that fills a single position, if it is clearly visible.
    """

    def call(self, inputs: Any) -> Any:
        """The pooled scores, float32, any finite number."""
        positions = inputs.shape[1] * inputs.shape[2]
        return ops.logsumexp(inputs, axis=(1, 2)) - math.log(positions)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(n, channels) for (n, height, width, channels)."""
        return (input_shape[0], input_shape[3])
