"""The networks, one readable list of layers a file; `build` looks one up by its name."""

from collections.abc import Callable

import keras

from training.networks import cat, dense, tutorial

BUILDERS: dict[str, Callable[..., keras.Model]] = {"cat": cat.build, "dense": dense.build, "tutorial": tutorial.build}


def build(network: str, training: bool = False, classes: int = 2) -> keras.Model:
    """The untrained network of that name, for that many classes; `cat` is for two.

    With `training=True` it also holds the layers that help training and are folded away afterwards (rescaling, batch
    normalisation, dropout), under the same stage names; `training.fitting.fold` turns the one into the other.
    """
    return BUILDERS[network](training=training, **({} if classes == 2 else {"classes": classes}))
