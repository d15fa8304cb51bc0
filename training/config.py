"""What a training run is made of: one frozen `Recipe` a network, its command, cost and result in the comment above it."""

from dataclasses import dataclass, replace

CLASSES = ("cat", "not_cat")
"""Class names in the order of every probability vector; also the names of the two folders that hold the photos."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Angles are in degrees, the other augmentation settings are fractions.

    `patience` counts epochs without a better validation loss before training stops early; `keep` says which epoch's
    weights are shipped, the "best" by validation loss or the "last" (where validation has too few photos to choose by).
    `zoom` is the (smallest, largest) magnification, `stretch` the largest change of width against height, `shift` the
    largest move as a fraction of the side, `grey` and `hide` the share of photos that lose their colour or a part.
    `decided` and `most_unsure` are what the `unsure` band is chosen for, see `training.calibrate.unsure_band`.
    """

    network: str
    version: str = "1.0.0"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    patience: int = 8
    keep: str = "best"
    seed: int = 7
    rotate: float = 15.0
    zoom: tuple[float, float] = (0.85, 1.35)
    stretch: float = 0.15
    shift: float = 0.08
    light: float = 0.25
    colour: float = 0.4
    grey: float = 0.1
    hide: float = 0.25
    decided: float = 0.97
    most_unsure: float = 0.25


# python -m training.train --network dense --data photos/train --out model/dense
# 10 minutes on two cores (EPYC, others at work beside it). Best epoch 12 of 20; validation accuracy 0.714. Training loss
# stays above validation loss from the first epoch to the last: it is not overfitting, it cannot do better.
DENSE = Recipe("dense", epochs=20, batch_size=128, learning_rate=5e-4, weight_decay=1e-3)

# python -m training.train --network tutorial --data photos/train --out model/tutorial
# 52 minutes on two cores (EPYC, others at work beside it; 20 x 120 s undisturbed). Best epoch 20 of 20; validation
# accuracy 0.953; val-pets 0.908, val-pets, val-breeds and val-objects pooled 0.906.
TUTORIAL = Recipe("tutorial", epochs=20, learning_rate=2e-3)

# python -m training.catvnoncat --h5 catvnoncat --out build/catvnoncat
# 5 minutes a seed on two cores; test accuracy 0.840 on average over 5 seeds, from 0.82 to 0.86.
# 209 images of 64x64 instead of 20,000 photos: more epochs, smaller batches, and ten validation images choose nothing.
CATVNONCAT = replace(TUTORIAL, epochs=120, batch_size=16, learning_rate=1e-3, patience=120, keep="last")

RECIPES = {recipe.network: recipe for recipe in (DENSE, TUTORIAL)}
