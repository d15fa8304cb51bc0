"""The chapter's ordinary network: every pixel of a 100x100x3 photo is an input of its own, 30,000 of them.

    flatten 30000   dense1 128   dense1_relu 128   dense2 64   dense2_relu 64   scores 2   probabilities 2

It has no notion of which pixels are neighbours: a cat moved by ten pixels is a wholly different input.
"""

import keras
from keras import layers

SIDE = 100
UNITS = (128, 64)


def build(training: bool = False, classes: int = 2) -> keras.Model:
    """(n, 100, 100, 3) float32, 0..255 -> (n, `classes`) float32 probabilities, of two of (cat, not_cat).

    With `training`, the output is `scores` (logits) and the helping layers are there; see `training.fitting.fold`.
    """
    x = photo = keras.Input((SIDE, SIDE, 3), name="image")
    if training:
        x = layers.Rescaling(1 / 255, name="rescale")(x)
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(UNITS, start=1):
        x = layers.Dense(units, name=f"dense{number}")(x)
        if training:
            x = layers.BatchNormalization(scale=False, momentum=0.95, name=f"dense{number}_norm")(x)
        x = layers.ReLU(name=f"dense{number}_relu")(x)
        if training:
            x = layers.Dropout(0.3, name=f"dense{number}_dropout")(x)
    x = layers.Dense(classes, name="scores")(x)
    if not training:
        x = layers.Softmax(name="probabilities")(x)
    return keras.Model(photo, x, name="dense")
