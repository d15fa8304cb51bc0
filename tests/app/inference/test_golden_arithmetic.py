"""The chapter's example, worked by hand: a 5x5 image of zeros and ones, three 3x3 filters, pooling, ReLU.

The image is a small cross with a tail:

    0 1 0 0 0
    1 1 1 0 0
    0 1 0 0 1
    0 0 0 1 0
    0 0 1 0 0

What the exported network computes must be what comes out on paper.
"""

import keras
import numpy as np
import pytest
from keras import layers

from app.inference.networks.runtime import import_onnxruntime
from training.importing import onnx_graph

IMAGE = [[0, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0]]

PLUS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
RISING = [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
LEFT_EDGE = [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]

# "valid": the filter stays inside the image, 5 - 3 + 1 = 3 positions each way. Each entry is one sum of nine products, for
# example PLUS at the top left covers 0 1 0 / 1 1 1 / 0 1 0, where all five of its ones meet a one: 5. LEFT_EDGE at the
# bottom left covers 0 1 0 / 0 0 0 / 0 0 1: its right column sums to 1, its left column to 0, and 1 - 0 = 1.
VALID = {
    "plus": [[5, 2, 1], [2, 2, 2], [1, 2, 1]],
    "rising": [[1, 2, 0], [2, 0, 0], [0, 0, 3]],
    "left_edge": [[0, -3, 0], [0, -1, 0], [1, 0, 0]],
}
# "same" with stride 1: a border of zeros is put around the image, and the result is 5x5 like the image.
SAME_PLUS = [[2, 2, 2, 0, 0], [2, 5, 2, 1, 1], [2, 2, 2, 2, 1], [0, 1, 2, 1, 2], [0, 1, 1, 2, 0]]
# "valid" with stride 2: of the nine positions, the four corners.
STRIDE_2 = {"plus": [[5, 1], [1, 1]], "rising": [[1, 0], [0, 3]], "left_edge": [[0, 0], [1, 0]]}
# ReLU clips what is below zero.
RELU_LEFT_EDGE = [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
# 2x2 max pooling of the 5x5 result of SAME_PLUS: 5 // 2 = 2 windows each way, the last row and column are left out.
POOLED_SAME_PLUS = [[5, 2], [2, 2]]


def computed(*steps: layers.Layer, filters: dict[str, list[list[int]]]) -> np.ndarray:
    """What the exported network answers for IMAGE, (height, width, filters); the first step gets the filters."""
    x = photo = keras.Input((5, 5, 1), name="image")
    for step in steps:
        x = step(x)
    model = keras.Model(photo, x, name="golden")
    kernel = np.stack([np.array(f, np.float32) for f in filters.values()], axis=-1)[:, :, np.newaxis, :]
    steps[0].set_weights([kernel, np.zeros(kernel.shape[-1], np.float32)])
    last = steps[-1].name
    session = import_onnxruntime().InferenceSession(onnx_graph.build(model, [last]).SerializeToString())
    image = np.array(IMAGE, np.float32)[np.newaxis, :, :, np.newaxis]
    (answer,) = session.run([last], {"image": image})
    truth = np.asarray(model(image))
    assert np.array_equal(answer.transpose(0, 2, 3, 1), truth), "Keras and its export agree to the last bit on whole numbers"
    return truth[0]


FILTERS = {"plus": PLUS, "rising": RISING, "left_edge": LEFT_EDGE}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_slides_over_the_image_taking_dot_products(name):
    answer = computed(layers.Conv2D(3, 3, padding="valid", name="conv"), filters=FILTERS)
    assert answer[:, :, list(FILTERS).index(name)].tolist() == VALID[name]


def test_padding_keeps_the_size_and_counts_zeros_outside():
    answer = computed(layers.Conv2D(1, 3, padding="same", name="conv"), filters={"plus": PLUS})
    assert answer[:, :, 0].tolist() == SAME_PLUS


@pytest.mark.parametrize("name", FILTERS)
def test_a_stride_of_two_visits_every_other_position(name):
    answer = computed(layers.Conv2D(3, 3, strides=2, padding="valid", name="conv"), filters=FILTERS)
    assert answer[:, :, list(FILTERS).index(name)].tolist() == STRIDE_2[name]


def test_padding_with_a_stride_of_two_halves_the_size_rounding_up():
    answer = computed(layers.Conv2D(1, 3, strides=2, padding="same", name="conv"), filters={"plus": PLUS})
    assert answer[:, :, 0].tolist() == [row[::2] for row in SAME_PLUS[::2]]


def test_relu_clips_what_is_below_zero():
    steps = layers.Conv2D(1, 3, padding="valid", name="conv"), layers.ReLU(name="relu")
    assert computed(*steps, filters={"left_edge": LEFT_EDGE})[:, :, 0].tolist() == RELU_LEFT_EDGE


def test_max_pooling_keeps_the_largest_of_each_window():
    steps = layers.Conv2D(1, 3, padding="same", name="conv"), layers.MaxPooling2D(2, name="pool")
    assert computed(*steps, filters={"plus": PLUS})[:, :, 0].tolist() == POOLED_SAME_PLUS


def test_average_pooling_keeps_the_mean_of_each_window():
    steps = layers.Conv2D(1, 3, padding="same", name="conv"), layers.AveragePooling2D(2, name="pool")
    assert computed(*steps, filters={"plus": PLUS})[:, :, 0].tolist() == [[11 / 4, 5 / 4], [5 / 4, 7 / 4]]


def test_pooling_before_relu_equals_relu_before_pooling():
    def conv() -> layers.Layer:
        return layers.Conv2D(3, 3, padding="same", name="conv")

    chapter = computed(conv(), layers.MaxPooling2D(2, name="pool"), layers.ReLU(name="relu"), filters=FILTERS)
    usual = computed(conv(), layers.ReLU(name="relu"), layers.MaxPooling2D(2, name="pool"), filters=FILTERS)
    assert np.array_equal(chapter, usual)
