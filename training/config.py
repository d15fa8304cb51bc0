"""The recipes: how each network is trained; the comment above each gives its command, cost and result."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from training.errors import TrainingError

CLASSES = ("cat", "not_cat")
"""Class names in the order of every probability vector, and the names of the photos' folders; a recipe may have others."""


@dataclass(frozen=True)
class Composition:
    """How scenes are composed from photos, see `training.data.scenes`: how often each kind, and how strongly they vary.

    `pasted` and `beside` are shares of all views. `smallest` and `largest` are the pasted photo's side as a fraction of
    the scene's, `closest` is the smallest share of a photo's area that a view of it alone shows. `grey`, `dark`,
    `blurred`, `hidden`, `noisy` and `recoded` are the shares of views that are turned grey, darkened, blurred, partly
    covered, made grainy, or compressed as JPEG; some of the grey ones keep a tint. `scenery` is the share of pasted photos
    whose background is a room, street or garden, where it is known which photos show those.
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
    scenery: float = 0.6


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Angles are in degrees, the other augmentation settings are fractions.

    Training stops early after `patience` epochs without a better validation loss. `keep` is the epoch whose weights are
    shipped: the "best" by validation loss, or the "last" where validation has too few photos to choose by.
    `zoom` is the (smallest, largest) magnification, `stretch` the largest change of the aspect ratio, `shift` the
    largest move as a fraction of the side, `grey` and `hide` the shares of photos turned grey or partly covered.
    `decided` and `most_unsure` are the goals of the `unsure` band, see `training.fitting.calibrate.unsure_band`.

    `stored` is the side at which training photos are stored, as a multiple of the network's input. A network that starts
    from ImageNet's weights does not change those up to and including the layer `frozen`, and sees scenes composed by
    `composition` instead of single photos; its epochs alternate between `scenes` different scenes of each photo.
    `teachers` are larger networks whose evidence it learns to reproduce, with the loss weight `teach`; `not_cat` is the
    extra weight of a photo without a cat. `average` is the momentum of the running average of its weights, and `blend`
    the share of that average in the shipped weights; the remainder is the weights it started from. `offset` is added to
    the log odds of a cat before calibration: it sets the operating point and is chosen on validation sets, since training
    photos contain too few hard ones.
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
# 10 minutes on two cores (EPYC, shared with other work). Best epoch 12 of 20; validation accuracy 0.714. Training loss
# stays above validation loss from the first epoch to the last: it does not overfit, it cannot do better.
DENSE = Recipe("dense", epochs=20, batch_size=128, learning_rate=5e-4, weight_decay=1e-3)

# python -m training.train --network tutorial --version 1.1.0 --data photos/train --out model/tutorial --keep-epochs
# 33 minutes on two cores (EPYC with AVX-512, shared with other work). Best epoch 20 of 20; validation accuracy 0.959;
# val-pets 0.914, all val sets pooled 0.869. Version 1.0.0, whose views Keras made, had 0.953, 0.908 and 0.865.
TUTORIAL = Recipe("tutorial", epochs=20, learning_rate=2e-3)

# python -m training.studies.catvnoncat --h5 catvnoncat --out build/catvnoncat
# 5 minutes a seed on two cores; test accuracy 0.840 on average over 5 seeds, from 0.82 to 0.86.
# 209 images of 64x64 instead of 20,000 photos: more epochs, smaller batches. Ten validation images are
# too few to choose an epoch by.
CATVNONCAT = replace(TUTORIAL, epochs=120, batch_size=16, learning_rate=1e-3, patience=120, keep="last")

# python -m training.train --network cat --data photos/train --out model/cat
# 40 minutes on two cores (EPYC, shared with other work: 25 for the scenes and the first epoch, 7 for each later epoch).
# Started from ImageNet's weights; val-pets 0.995, val-breeds 0.990, 5 false alarms in val-objects, recall on val-wild 0.853.
# training/JOURNAL.md records the earlier trials.
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

# python -m training.refine --photos photos --manifests manifest.csv manifest2.csv --start model/cat/1.0.0 \
#     --work build/refine --out model/cat/2.0.0
# The rivals learn alone, then the last blocks learn with them: 12 minutes on two cores (EPYC with AVX-512), after 25 to 45
# minutes for the features. training/JOURNAL.md records the trials. Photos of the held-out sources are harder than most, so
# up to a tenth of them may be left unsure.
_REFINED = Recipe(
    "cat",
    version="2.0.0",
    warmup=0.05,
    label_smoothing=0.02,
    patience=100,
    keep="last",
    not_cat=1.2,
    decided=0.995,
    most_unsure=0.1,
)
ALONE = replace(_REFINED, epochs=3, batch_size=64, learning_rate=1e-3, weight_decay=1e-3, average=0.99)
TOGETHER = replace(
    _REFINED, epochs=1, batch_size=32, learning_rate=1e-4, weight_decay=1e-2, average=0.995, teach=2.0, blend=0.6
)


@dataclass(frozen=True)
class Refinement:
    """How version 2.0.0 is trained: the recipe of each phase, and what they share.

    A photo of `train` becomes a scene with probability `old`. A photo of a rabbit counts `rabbit` times. The likeness of
    the first version is a target with the weight `together.teach` where that version is right by `sure` log odds, and with
    a tenth of it elsewhere. A cat that it rates below `unseen` log odds in a scene, or below `hidden` in a photo, is too
    hard to see to teach anything. Views that it gets right by `easy` log odds take part in the second phase with
    probability `easy_share`. The shipped weights are `together.blend` parts after that phase, the others before it. Photos
    of the sources `held_out`, and scenes with them, teach nothing.
    """

    alone: Recipe = ALONE
    together: Recipe = TOGETHER
    composition: Composition = field(default_factory=lambda: Composition(beside=0.08))
    rivals: int = 32
    old: float = 0.36
    rabbit: float = 2.0
    sure: float = 1.0
    unseen: float = -2.0
    hidden: float = -3.5
    easy: float = 4.0
    easy_share: float = 0.45
    held_out: tuple[str, ...] = ("garipov", "bigcat5", "barnyard10", "camvid", "flickr8k")


PREPROCESSED = ("tf", "torch", "caffe")
"""The modes of `keras.applications.*.preprocess_input`."""

RECIPES = {recipe.network: recipe for recipe in (DENSE, TUTORIAL, CAT)}


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise TrainingError for names that cannot be classes: too few, duplicates, or not the name of a folder."""
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise TrainingError(f"the classes are {' '.join(classes)}; there must be two or more, each named once")
    for name in classes:
        if name != Path(name).name or not name.isprintable() or name in ("", ".", "..", "unsure", "unfamiliar"):
            raise TrainingError(
                f"{name!r} cannot be a class: a class is named like a folder, and not `unsure` or `unfamiliar`"
            )


def check_unsure(unsure: float) -> None:
    """Raise TrainingError unless probabilities up to this can be `unsure`."""
    if not 0 <= unsure < 1:
        raise TrainingError(f"--unsure is {unsure}; it must be a probability below 1")
