"""The chapter's convolutional network: convolution, pooling, ReLU, repeated; then fully connected; then probabilities.

A photo of 100x100x3 comes in as 0..255, and every step below is a stage that people can look at:

    block1_conv 100x100x16   block1_pool 50x50x16   block1_relu 50x50x16      a 3x3 filter sees  3x3 pixels
    block2_conv  50x50x32    block2_pool 25x25x32   block2_relu 25x25x32                          8x8
    block3_conv  25x25x64    block3_pool 12x12x64   block3_relu 12x12x64                         18x18
    block4_conv  12x12x128   block4_pool  6x6x128   block4_relu  6x6x128                         38x38
    block5_conv   6x6x192    block5_pool  3x3x192   block5_relu  3x3x192                         78x78
    flatten 1728   dense 128   dense_relu 128   scores 2   probabilities 2

Pooling before ReLU is the chapter's order. It gives the same numbers as ReLU before pooling, since both keep order, and
does a quarter of the work.

While it trains, a batch normalisation stands between each pooling and its ReLU (Ioffe and Szegedy 2015). It has no scale
of its own: a positive factor passes through the maximum and through ReLU into the next layer, so it would add nothing,
and without it the whole step folds into the convolution before the pooling. The network that is shipped has none.
"""

import keras
from keras import layers

SIDE = 100
FILTERS = (16, 32, 64, 128, 192)
UNITS = 128


def build(training: bool = False, classes: int = 2) -> keras.Model:
    """(n, 100, 100, 3) float32, 0..255 -> (n, `classes`) float32 probabilities, of two of (cat, not_cat).

    With `training`, the output is `scores` (logits) and the helping layers are there; see `training.fitting.fold`.
    """
    x = photo = keras.Input((SIDE, SIDE, 3), name="image")
    if training:
        x = layers.Rescaling(1 / 255, name="rescale")(x)
    for block, filters in enumerate(FILTERS, start=1):
        x = layers.Conv2D(filters, 3, padding="same", name=f"block{block}_conv")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        if training:
            x = layers.BatchNormalization(scale=False, momentum=0.95, name=f"block{block}_norm")(x)
        x = layers.ReLU(name=f"block{block}_relu")(x)
    x = layers.Flatten(name="flatten")(x)
    if training:
        x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.Dense(UNITS, name="dense")(x)
    x = layers.ReLU(name="dense_relu")(x)
    if training:
        x = layers.Dropout(0.4, name="dense_dropout")(x)
    x = layers.Dense(classes, name="scores")(x)
    if not training:
        x = layers.Softmax(name="probabilities")(x)
    return keras.Model(photo, x, name="tutorial")
