"""Keras's way of pooling evidence: a picture of scores comes in, one score for the whole photo goes out.

Keras has no such layer, and a saved network names it, so both who trains and who runs `model.keras` import it from here.
The exported network needs nothing of this: ONNX has the operator.
"""

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="catscope")
class LogMeanExpPooling2D(keras.layers.Layer):  # type: ignore[misc]  # Keras carries no types
    """(n, height, width, channels) -> (n, channels): the logarithm of the mean of the exponentials over all places.

    It lies between the mean and the maximum (as a pooling: Pinheiro and Collobert 2015, "From image-level to pixel-level
    labeling"): a cat that fills the photo counts, and so does one that fills a single place, if it is plain to see there.
    """

    def call(self, inputs: Any) -> Any:
        """The pooled scores, float32, any finite number."""
        places = inputs.shape[1] * inputs.shape[2]
        return ops.logsumexp(inputs, axis=(1, 2)) - math.log(places)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(n, channels) for (n, height, width, channels)."""
        return (input_shape[0], input_shape[3])
