"""A recipe and the number of photos come in; the recipe goes out with settings that fit so many.

The recipes were made for 20,000 photos. A few hundred are a handful of batches an epoch: too few steps to learn from, too
few for batch normalisation's running statistics to follow, and an epoch is then too short a time to be patient for.
"""

import math
from collections.abc import Collection
from dataclasses import replace

import keras

from training.config import Recipe

LARGE = 10_000
"""From so many training photos on, a recipe stays as it is."""

BATCHES = 24
"""Batches an epoch that fewer photos are cut into, as long as a batch keeps SMALLEST_BATCH of them."""

SMALLEST_BATCH = 16

STEPS = 1200
"""Steps that a run takes at least."""

MEMORY = 0.25
"""Batch normalisation remembers this share of an epoch, and never more than the network's own momentum says."""


def fitted(recipe: Recipe, photos: int, given: Collection[str] = ()) -> Recipe:
    """The recipe for that many training photos: smaller batches, more epochs, as much more patience.

    Settings named in `given` stay. The warm-up is a share of all steps, so it follows.
    """
    if photos >= LARGE:
        return recipe
    fits = 2 ** int(math.log2(max(1, photos // BATCHES)))
    batch_size = recipe.batch_size if "batch_size" in given else min(recipe.batch_size, max(SMALLEST_BATCH, fits))
    epochs = recipe.epochs
    if "epochs" not in given:
        epochs = max(epochs, math.ceil(STEPS / math.ceil(photos / batch_size)))
    patience = recipe.patience
    if "patience" not in given:
        patience = max(patience, math.ceil(patience * epochs / recipe.epochs))
    return replace(recipe, batch_size=batch_size, epochs=epochs, patience=patience)


def normalise_for(network: keras.Model, batches: int) -> None:
    """Let batch normalisation's running statistics follow within an epoch of so many batches, in place.

    A momentum of m remembers about 1 / (1 - m) batches.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, max(0.5, 1 - 1 / max(1.0, MEMORY * batches)))
