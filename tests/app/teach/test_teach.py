"""What is taught does not depend on the photos' order, and what is said of it does not depend on luck."""

import hashlib
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from app.errors import InvalidRequest
from app.teach import calibrate, familiar, judges
from app.teach.calibrate import Band
from app.teach.folder import seen_in
from app.teach.photos import File, Seen, Skipped, check
from app.teach.teach import Taught, _warnings, teach

CLASSES = ("ann", "bob")


def photos(count: int = 30, apart: float = 8.0, channels: int = 20) -> list[Seen]:
    """So many photos of each class, whose means lie `apart` in one of the channels."""
    random = np.random.default_rng(0)
    made = []
    for number in range(2 * count):
        label = number % 2
        means = random.normal(0, 1, (2, channels)).astype(np.float32)
        means[:, 0] += apart * label
        looks = random.random(256) > 0.5
        made.append(Seen(f"{CLASSES[label]}/{number}.jpg", label, digest(number), looks, means))
    return made


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_classes_that_differ_are_told_apart_and_nothing_is_wrong():
    taught = teach(CLASSES, photos())
    assert taught.accuracy.value == 1
    assert taught.accuracy.count == 60
    assert taught.accuracy.low < 0.96, "sixty photos do not prove more"
    assert taught.confusion == [[30, 0], [0, 30]]
    assert taught.mistakes == ()
    assert {name: figure.count for name, figure in taught.recall.items()} == {"ann": 30, "bob": 30}


def test_classes_that_do_not_differ_are_said_to_be_so():
    taught = teach(CLASSES, photos(apart=0))
    assert "ann cannot be told from bob on these photos." in taught.warnings
    assert taught.accuracy.low < 0.5 < taught.accuracy.high
    wrong = sum(row[1 - index] for index, row in enumerate(taught.confusion))
    assert len(taught.mistakes) == wrong > 10
    mistake = taught.mistakes[0]
    assert {mistake.shows, mistake.said} == set(CLASSES)
    assert mistake.probability == max(mistake.probability for mistake in taught.mistakes)


def test_the_same_photos_give_the_same_network_in_any_order():
    given = photos(apart=2)
    first = teach(CLASSES, given)
    second = teach(CLASSES, [given[index] for index in np.random.default_rng(3).permutation(len(given))])
    assert np.array_equal(first.judges.kernel, second.judges.kernel)
    assert np.array_equal(first.judges.bias, second.judges.bias)
    assert (first.temperature, first.band, first.accuracy) == (second.temperature, second.band, second.accuracy)
    assert first.familiarity.plain() == second.familiarity.plain()
    assert seen_in(first) == seen_in(second)


def test_what_is_kept_of_the_photos_does_not_depend_on_the_time_of_day(monkeypatch):
    taught = teach(CLASSES, photos(count=5))
    before = seen_in(taught)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    assert seen_in(taught) == before


def test_the_share_of_own_photos_that_are_unfamiliar_is_that_of_cross_validation():
    taught = teach(CLASSES, photos(count=30))
    assert taught.unfamiliar.count == 60
    assert taught.unfamiliar.value == 3 / 60


def test_photos_that_look_alike_prove_nothing_about_each_other():
    """Every photo comes twice, compressed anew, and the labels are random: who saw one copy would know the other's."""
    given = photos(apart=0, channels=500)
    copies = [
        Seen(f"copy of {photo.name}", photo.label, digest(1000 + n), photo.looks, photo.means)
        for n, photo in enumerate(given)
    ]
    taught = teach(CLASSES, given + copies)
    assert taught.alike == 60
    assert taught.accuracy.value < 0.7
    apart = [Seen(photo.name, photo.label, photo.sha256, photo.looks[::-1], photo.means) for photo in copies]
    assert teach(CLASSES, given + apart).accuracy.value > 0.8, "this is what they would prove, if nobody saw it"


def test_a_file_counts_once_and_in_one_class_only():
    given = photos()
    twice = replace(given[0], name="ann/again.jpg")
    elsewhere = replace(given[2], name="bob/of ann.jpg", label=1)
    once_more = replace(given[2], name="ann/of ann.jpg")
    notes = Skipped("ann/notes.jpg", "It is no photo.")
    taught = teach(CLASSES, [*given, twice, elsewhere, once_more, notes])
    assert len(taught.photos) == 59
    assert [photo.sha256 for photo in taught.photos] == sorted(digest(number) for number in range(60) if number != 2)
    both = "The same file is in another class, too; neither is used."
    assert taught.skipped[0] == notes
    assert sorted(taught.skipped, key=lambda photo: photo.name) == [
        Skipped("ann/2.jpg", both),
        Skipped("ann/again.jpg", "It is the same file as ann/0.jpg."),
        notes,
        Skipped("ann/of ann.jpg", both),
        Skipped("bob/of ann.jpg", both),
    ]


def test_few_photos_are_said_to_prove_little():
    taught = teach(CLASSES, photos(count=6))
    assert "6 photos of ann prove little; 20 would do." in taught.warnings


CALIBRATION = (
    "{} photos are too few to calibrate on, 100 would do: take probabilities with care; up to 0.60 of the likeliest class "
    "the network is unsure."
)


def test_what_is_to_be_said_of_enough_photos_that_differ_is_at_most_that_they_do_not_calibrate():
    assert teach(CLASSES, photos(count=20)).warnings == (CALIBRATION.format(40),)
    assert teach(CLASSES, photos(count=50)).warnings == ()


@pytest.mark.parametrize(
    ("confusion", "pairs"),
    [
        ([[14, 6, 0], [8, 12, 0], [0, 0, 20]], ["ann cannot be told from bob"]),  # 26 of 40: half is in the interval
        ([[14, 6, 0], [7, 13, 0], [0, 0, 20]], []),  # 27 of 40: it is not
        ([[20, 0, 0], [0, 14, 6], [0, 8, 12]], ["bob cannot be told from cy"]),
        ([[20, 0, 0], [0, 12, 8], [0, 6, 14]], ["bob cannot be told from cy"]),
        ([[13, 0, 7], [0, 20, 0], [6, 0, 14]], []),
        (
            [[0, 0, 20], [0, 0, 20], [0, 0, 20]],
            ["ann cannot be told from bob", "ann cannot be told from cy", "bob cannot be told from cy"],
        ),
    ],
)
def test_classes_between_which_the_judges_may_as_well_guess_are_named(confusion, pairs):
    said = _warnings(("ann", "bob", "cy"), Counter({0: 20, 1: 20, 2: 19}), np.array(confusion), Band(0.0, 0.6, 1.0, 0.0))
    assert said == [
        "19 photos of cy prove little; 20 would do.",
        *[f"{pair} on these photos." for pair in pairs],
        CALIBRATION.format(60),
    ]


@pytest.mark.parametrize(("right", "said"), [(37, ["ann cannot be told from bob on these photos."]), (38, [])])
def test_an_interval_that_begins_at_one_half_tells_nothing(right, said):
    """Of 74 right among 126, it begins at 0.5000."""
    confusion = np.array([[right, 63 - right], [63 - right, right]])
    assert _warnings(CLASSES, Counter({0: 63, 1: 63}), confusion, Band(0.4, 0.6, 1.0, 0.0)) == said


@pytest.fixture(scope="module")
def given() -> list[Seen]:
    """25 photos of each of three classes; seven of the last class look as those of the second do. Integers saw 50 of all."""
    random = np.random.default_rng(6)
    made = []
    for number in range(75):
        label, row = number % 3, number // 3
        means = random.gamma(2, 0.5, (2, 20)).astype(np.float32)
        if label:
            means[:, 1 if label == 2 and row >= 7 else 0] += 8
        integers = means[0] + random.normal(0, 0.01, 20).astype(np.float32) if number < 50 else None
        made.append(Seen(f"{number}.jpg", label, digest(number), random.random(256) > 0.5, means, integers))
    return sorted(made, key=lambda photo: photo.sha256)


@pytest.fixture
def taught(given) -> Taught:
    """Taught anew for each test, so that tools/mutate.py knows which tests reach the code."""
    return teach(("ann", "bob", "cy"), given)


@pytest.fixture(scope="module")
def folds(given) -> list[np.ndarray]:
    return judges.folded(np.array([photo.label for photo in given]), list(range(75)))


@pytest.fixture(scope="module")
def shown(given) -> np.ndarray:
    return np.array([photo.label for photo in given])


def test_what_is_kept_of_photos_gives_the_same_judges_again(given, taught, shown):
    assert taught.means.dtype == np.float16
    assert np.array_equal(taught.means, np.stack([photo.means for photo in given]).astype(np.float16))
    again = judges.fit(taught.means.astype(np.float32), shown, 3, taught.penalty)
    assert np.array_equal(taught.judges.kernel, again.kernel)
    assert np.array_equal(taught.judges.bias, again.bias)
    assert (taught.classes, taught.photos, taught.skipped) == (("ann", "bob", "cy"), tuple(given), ())


def test_each_photo_is_answered_by_judges_that_were_fitted_without_its_fold(taught, folds, shown):
    means = taught.means.astype(np.float32)
    for held_out in folds:
        rest = np.setdiff1d(np.arange(75), held_out)
        scores = judges.fit(means[rest], shown[rest], 3, taught.penalty).scores(means[held_out, 0])
        assert taught.unseen[held_out] == pytest.approx(scores, rel=1e-5, abs=1e-5)
    assert taught.unseen.dtype == np.float32
    assert (taught.folds, taught.alike) == (5, 0)


def test_figures_are_those_of_the_unseen_scores(given, taught, shown):
    scores = taught.unseen.astype(float)
    temperature, band = calibrate.calibrated(scores, shown, 0.995, 0.06)
    assert taught.temperature == pytest.approx(temperature, rel=1e-4)
    assert taught.band == band
    said = scores.argmax(axis=1)
    right = int((said == shown).sum())
    assert taught.accuracy.value == round(right / 75, 4)
    assert taught.confusion == [[int(((shown == one) & (said == other)).sum()) for other in range(3)] for one in range(3)]
    assert {type(count) for row in taught.confusion for count in row} == {int}
    assert taught.confusion[2][1] > taught.confusion[1][2], "the example should tell rows from columns"
    recall = {name: figure.value for name, figure in taught.recall.items()}
    assert recall == {
        name: round(row[place] / 25, 4)
        for place, (name, row) in enumerate(zip(taught.classes, taught.confusion, strict=True))
    }


def test_mistakes_are_told_the_surest_first(given, taught, shown):
    probabilities = softmax(taught.unseen / taught.temperature, axis=1)
    expected = [
        (photo.name, taught.classes[photo.label], taught.classes[row.argmax()], row.max())
        for photo, row in zip(given, probabilities, strict=True)
        if row.argmax() != photo.label
    ]
    found = [(one.name, one.shows, one.said, one.probability) for one in taught.mistakes]
    assert [one[3] for one in found] == sorted((one[3] for one in found), reverse=True)
    assert sorted(one[:3] for one in found) == sorted(one[:3] for one in expected)
    assert {one[0]: one[3] for one in found} == pytest.approx({one[0]: one[3] for one in expected}, abs=6e-5)
    assert all(one.probability == round(one.probability, 4) for one in taught.mistakes)
    assert len(found) > 5


def test_what_is_unfamiliar_is_found_by_the_same_folds(taught, folds, shown):
    known, distances = familiar.fit(taught.means.astype(np.float32), shown, folds, 3)
    assert taught.familiarity == known
    assert taught.unfamiliar.value == round((distances > known.limit).mean(), 4) == 0.04
    assert taught.unfamiliar.count == 75


def test_what_integers_saw_is_kept_and_answered_as_what_the_network_saw(given, taught, folds, shown):
    compared, means = taught.compared, taught.means.astype(np.float32)
    rows = [row for row, photo in enumerate(given) if photo.integers is not None]
    assert compared.rows.tolist() == rows
    assert len(rows) == 50
    assert compared.means.dtype == np.float16
    assert np.array_equal(compared.means, np.stack([given[row].integers for row in rows]).astype(np.float16))
    distances = familiar.unseen(means, shown, folds, 3, means[:, 0])
    assert compared.scores[0] == pytest.approx(taught.unseen[rows], rel=1e-6)
    assert compared.distances[0] == pytest.approx(distances[rows])
    for held_out in folds:
        rest = np.setdiff1d(np.arange(75), held_out)
        judge = judges.fit(means[rest], shown[rest], 3, taught.penalty)
        known = familiar.known(means[rest], shown[rest], 3)
        here = np.isin(rows, held_out)
        looks = compared.means[here].astype(np.float32)
        assert compared.scores[1][here] == pytest.approx(judge.scores(looks))
        assert compared.distances[1][here] == pytest.approx(known.distances(looks), abs=1e-6)


def test_without_integers_nothing_is_compared():
    assert teach(CLASSES, photos(count=5)).compared is None


@pytest.mark.parametrize(("apart", "penalty"), [(0.0, 0.05), (8.0, 0.0005)])
def test_the_penalty_is_high_where_photos_tell_nothing_of_each_other(apart, penalty):
    assert teach(CLASSES, photos(apart=apart)).penalty == penalty


def test_too_few_photos_that_can_be_used_are_refused_with_the_reason():
    few = photos(count=5)[:-1]
    refused = "Of class bob, 4 photos can be used; at least 5 are needed."
    with pytest.raises(InvalidRequest) as told:
        teach(CLASSES, [*few, Skipped("bob/9.jpg", "The image is broken."), Skipped("bob/8.jpg", "It is no photo.")])
    assert str(told.value) == f"{refused} bob/9.jpg: The image is broken."
    with pytest.raises(InvalidRequest) as told:
        teach(CLASSES, few)
    assert str(told.value) == refused


def test_photos_that_are_all_one_are_refused():
    given = photos(count=5)
    same = [replace(photo, looks=given[photo.label].looks) for photo in given]
    with pytest.raises(InvalidRequest) as told:
        teach(CLASSES, same)
    assert str(told.value) == "The photos of a class all look alike; at least two different ones are needed."


def test_two_that_differ_are_enough():
    given = photos(count=5)
    two = [*given[:2], *[replace(photo, looks=given[2 + photo.label].looks) for photo in given[2:]]]
    taught = teach(CLASSES, two)
    assert (taught.folds, taught.alike) == (2, 6)


FILES = [File(str(number), bytes) for number in range(5)]


@pytest.mark.promise("P36")
@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"one": FILES}, "There are 1 classes"),
        ({str(number): FILES for number in range(21)}, "There are 21 classes"),
        ({"a": FILES, "b": FILES[:4]}, "Class b has 4 photos"),
        ({"a": FILES, "b": FILES * 201}, "Class b has 1005 photos"),
        ({str(number): FILES * 200 for number in range(6)}, "There are 6000 photos"),
        ({"a": FILES, " ": FILES}, "cannot be a class's name"),
        ({"a": FILES, "Unsure": FILES}, "cannot be a class's name"),
        ({"a": FILES, " UNFAMILIAR": FILES}, "cannot be a class's name"),
        ({"a": FILES, "b\nc": FILES}, "cannot be a class's name"),
        ({"a": FILES, "b" * 61: FILES}, "cannot be a class's name"),
        ({"Cat": FILES, "cat ": FILES}, "have one name"),
    ],
)
def test_what_cannot_be_taught_is_refused_by_name(classes, message):
    with pytest.raises(InvalidRequest, match=message):
        check(classes)


def test_what_can_be_taught_passes():
    check({"<b>": FILES, "Кот": FILES, "..": FILES})
