"""What a training run is made of: one frozen `Recipe` a network, its command, cost and result in the comment above it."""

from dataclasses import dataclass, replace
from pathlib import Path

from training.errors import TrainingError

CLASSES = ("cat", "not_cat")
"""Class names in the order of every probability vector, and the names of the folders that hold the photos; a recipe may have
others."""


@dataclass(frozen=True)
class Composition:
    """How scenes are made from photos, see `training.compose`: how often each way, and how far they differ from photos.

    `pasted` and `beside` are shares of all views. `smallest` and `largest` are the pasted photo's side as a fraction of
    the scene's, `closest` is the smallest share of a photo's area that a view of it alone shows. `grey`, `dark`,
    `blurred`, `hidden`, `noisy` and `recoded` are the shares of views that lose their colour, their light, their
    sharpness, a part, are grainy, or go through JPEG; some of the grey ones keep a tint.
    """

    pasted: float = 0.4
    beside: float = 0.1
    smallest: float = 0.15
    largest: float = 0.8
    closest: float = 0.4
    rotate: float = 20.0
    stretch: float = 0.3
    grey: float = 0.12
    dark: float = 0.1
    blurred: float = 0.15
    hidden: float = 0.1
    noisy: float = 0.1
    recoded: float = 0.5


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Angles are in degrees, the other augmentation settings are fractions.

    `patience` counts epochs without a better validation loss before training stops early; `keep` says which epoch's
    weights are shipped, the "best" by validation loss or the "last" (where validation has too few photos to choose by).
    `zoom` is the (smallest, largest) magnification, `stretch` the largest change of width against height, `shift` the
    largest move as a fraction of the side, `grey` and `hide` the share of photos that lose their colour or a part.
    `decided` and `most_unsure` are what the `unsure` band is chosen for, see `training.calibrate.unsure_band`.

    `stored` is the side that training photos are kept at, as a multiple of the network's input. A network that starts
    from ImageNet's weights keeps those up to and including the layer `frozen`, and sees scenes made by `composition`
    instead of single photos; its epochs take turns with `scenes` different scenes of each photo. `teachers` are larger
    networks whose evidence it learns to see, with the weight `teach`; `not_cat` is how much more a photo without a cat
    counts. `average` is the momentum of the running average of its weights, and `blend` the share of that average in what
    is shipped; the rest is what it started from. `offset` is added to the log odds of a cat before they are calibrated: it
    is the operating point, and chosen on validation sets, since training photos do not have their share of hard ones.
    """

    network: str
    version: str = "1.0.0"
    classes: tuple[str, ...] = CLASSES
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
    stored: float = 1.12
    frozen: str = ""
    scenes: int = 1
    teachers: tuple[str, ...] = ()
    teach: float = 0.0
    not_cat: float = 1.0
    average: float = 0.0
    blend: float = 1.0
    offset: float = 0.0
    composition: Composition | None = None


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

# python -m training.train --network cat --data photos/train --out model/cat
# 40 minutes on two cores (EPYC, tests at work beside it: 25 for the scenes and the first epoch, 7 for each that reads them
# again). Started from ImageNet's weights; val-pets 0.995, val-breeds 0.990, 5 false alarms in val-objects, recall on
# val-wild 0.853. training/JOURNAL.md says what was tried before.
CAT = Recipe(
    "cat",
    epochs=3,
    learning_rate=2e-4,
    weight_decay=1e-2,
    label_smoothing=0.02,
    keep="last",
    stored=224 / 304,
    frozen="block11",
    teachers=("lite1", "lite2"),
    teach=2.0,
    not_cat=1.5,
    average=0.99,
    blend=0.6,
    offset=0.3,
    composition=Composition(),
    decided=0.995,
    most_unsure=0.06,
)

RECIPES = {recipe.network: recipe for recipe in (DENSE, TUTORIAL, CAT)}


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise TrainingError for names that cannot be classes: too few, twice the same, or no name of a folder."""
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise TrainingError(f"the classes are {' '.join(classes)}; there must be two or more, each named once")
    for name in classes:
        if name != Path(name).name or not name.isprintable() or name in ("", ".", "..", "unsure"):
            raise TrainingError(f"{name!r} cannot be a class: it must be a folder's name, and not `unsure`")
