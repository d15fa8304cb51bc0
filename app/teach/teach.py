"""Photos of some classes, as a network sees them, come in; the judges of these classes, and how good they are, go out."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from app.errors import InvalidRequest
from app.inference.familiarity import Familiarity
from app.teach import calibrate, familiar, judges
from app.teach.alike import alike
from app.teach.calibrate import Band
from app.teach.figures import Figure, share
from app.teach.judges import Judges
from app.teach.photos import ENOUGH, FEWEST, Seen, Skipped

DECIDED, MOST_UNSURE = 0.995, 0.06
"""The aims of the `unsure` band: as for the network `cat`."""


@dataclass(frozen=True)
class Mistake:
    """A photo that was answered wrongly by judges that had not seen it. `probability` is that of the class they `said`."""

    name: str
    shows: str
    said: str
    probability: float


@dataclass(frozen=True)
class Compared:
    """Photos that integers saw, too, and what judges said of them that had not seen them, from what was seen in float and in
    integers.

    `rows` (m,) are theirs among all photos; `means` (m, channels) float16 what integers saw; `scores` (2, m, classes) are
    before the temperature; `distances` (2, m) are those from the photos outside their fold.
    """

    rows: np.ndarray
    means: np.ndarray
    scores: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Taught:
    """Judges of classes, with what is known about them.

    The figures are those of cross-validation: each photo answered by judges that were fitted without it and without those
    that look like it. `accuracy` is of all photos, `recall` of each class; `confusion` has a row for each class that photos
    show and a column for each that was said; `unseen` are the scores, (photos, classes) float32, before the temperature.
    `unfamiliar` is the share of the photos that were unlike all the others. `means` are the photos', as they were fitted:
    (photos, 2, channels) float16. `compared` are the photos that integers saw, too, None if they saw none. `warnings` are
    sentences for the person who taught.
    """

    classes: tuple[str, ...]
    judges: Judges
    penalty: float
    temperature: float
    band: Band
    familiarity: Familiarity
    unfamiliar: Figure
    photos: tuple[Seen, ...]
    means: np.ndarray
    unseen: np.ndarray
    compared: Compared | None
    skipped: tuple[Skipped, ...]
    folds: int
    alike: int
    accuracy: Figure
    recall: dict[str, Figure]
    confusion: list[list[int]]
    mistakes: tuple[Mistake, ...]
    warnings: tuple[str, ...]


def teach(classes: Sequence[str], looked_at: Sequence[Seen | Skipped]) -> Taught:
    """Judges of the classes, fitted to all photos. The same photos give the same judges, whatever their order and names.

    Raises InvalidRequest when too few usable photos of a class are left.
    """
    photos, skipped = _usable(looked_at)
    counts = Counter(photo.label for photo in photos)
    for label, name in enumerate(classes):
        if counts[label] < FEWEST:
            why = f" {skipped[0].name}: {skipped[0].why}" if skipped else ""
            raise InvalidRequest(f"Of class {name}, {counts[label]} photos can be used; at least {FEWEST} are needed.{why}")
    labels = np.array([photo.label for photo in photos])
    kept = np.stack([photo.means for photo in photos]).astype(np.float16)
    means = kept.astype(np.float32)  # what is kept is what is fitted, so that it can be fitted again
    groups = alike(np.stack([photo.looks for photo in photos]))
    folds = judges.folded(labels, groups)
    if len(folds) < 2:
        raise InvalidRequest("The photos of a class all look alike; at least two different ones are needed.")
    penalty = judges.best_penalty(means, labels, folds, len(classes))
    fitted = judges.without(means, labels, folds, len(classes), penalty)
    scores = judges.unseen(fitted, folds, means[:, 0])
    temperature, band = calibrate.calibrated(scores, labels, DECIDED, MOST_UNSURE)
    probabilities = calibrate.softmax(scores / temperature)
    said = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, said), 1)
    right = said == labels
    mistakes = [
        Mistake(photos[row].name, classes[labels[row]], classes[said[row]], round(float(probabilities[row].max()), 4))
        for row in sorted(np.flatnonzero(~right), key=lambda row: -probabilities[row].max())
    ]
    familiarity, distances = familiar.fit(means, labels, folds, len(classes))
    accuracy = share(int(right.sum()), len(right))
    unfamiliar = share(int((distances > familiarity.limit).sum()), len(right))
    assert accuracy  # there are photos
    assert unfamiliar
    return Taught(
        classes=tuple(classes),
        judges=judges.fit(means, labels, len(classes), penalty),
        penalty=penalty,
        temperature=temperature,
        band=band,
        familiarity=familiarity,
        unfamiliar=unfamiliar,
        photos=tuple(photos),
        means=kept,
        unseen=scores.astype(np.float32),
        compared=_compared(
            photos,
            scores,
            distances,
            lambda looks: judges.unseen(fitted, folds, looks),
            lambda looks: familiar.unseen(means, labels, folds, len(classes), looks),
        ),
        skipped=tuple(skipped),
        folds=len(folds),
        alike=len(groups) - len(set(groups)),
        accuracy=accuracy,
        recall={
            name: figure
            for row, name in enumerate(classes)
            if (figure := share(int(confusion[row, row]), int(confusion[row].sum())))
        },
        confusion=confusion.tolist(),
        mistakes=tuple(mistakes),
        warnings=tuple(_warnings(classes, counts, confusion, band)),
    )


def _compared(
    photos: Sequence[Seen],
    scores: np.ndarray,
    distances: np.ndarray,
    judged: Callable[[np.ndarray], np.ndarray],
    measured: Callable[[np.ndarray], np.ndarray],
) -> Compared | None:
    """Photos that integers saw, too, None if they saw none. `scores` (n, classes) and `distances` (n,) are those of all
    photos as the network saw them; `judged` and `measured` find the same of what else was seen in them, (n, channels).
    """
    rows = [row for row, photo in enumerate(photos) if photo.integers is not None]
    if not rows:
        return None
    means = np.zeros((len(photos), photos[0].means.shape[-1]), np.float16)
    means[rows] = [photos[row].integers for row in rows]
    looks = means.astype(np.float32)  # what is kept is what is compared, as it is what is fitted
    return Compared(
        rows=np.array(rows),
        means=means[rows],
        scores=np.stack([scores, judged(looks)])[:, rows],
        distances=np.stack([distances, measured(looks)])[:, rows],
    )


def _usable(looked_at: Sequence[Seen | Skipped]) -> tuple[list[Seen], list[Skipped]]:
    """The photos to learn from, in the order of their digests, and the others. A file that comes twice counts once; one that
    comes in two classes shows neither for certain.
    """
    skipped = [photo for photo in looked_at if isinstance(photo, Skipped)]
    by_digest: dict[str, list[Seen]] = {}
    for photo in looked_at:
        if isinstance(photo, Seen):
            by_digest.setdefault(photo.sha256, []).append(photo)
    used = []
    for _, copies in sorted(by_digest.items()):
        first, *others = copies
        if any(copy.label != first.label for copy in others):
            skipped += [Skipped(copy.name, "The same file is in another class, too; neither is used.") for copy in copies]
        else:
            used.append(first)
            skipped += [Skipped(copy.name, f"It is the same file as {first.name}.") for copy in others]
    return used, skipped


def _warnings(classes: Sequence[str], counts: Counter[int], confusion: np.ndarray, band: Band) -> list[str]:
    said = []
    for label, name in enumerate(classes):
        if counts[label] < ENOUGH:
            said.append(f"{counts[label]} photos of {name} prove little; {ENOUGH} would do.")
    for first, second in combinations(range(len(classes)), 2):
        right = confusion[first, first] + confusion[second, second]
        between = right + confusion[first, second] + confusion[second, first]
        figure = share(int(right), int(between))
        if figure is None or figure.low <= 0.5:
            said.append(f"{classes[first]} cannot be told from {classes[second]} on these photos.")
    if few := calibrate.warning(int(confusion.sum()), band):
        said.append(f"{few}.")
    return said
