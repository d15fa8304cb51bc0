"""What is taught does not depend on the photos' order, and what is said of it does not depend on luck."""

import hashlib
import time

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.teach.folder import seen_in
from app.teach.photos import File, Seen, Skipped, check
from app.teach.teach import teach

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
    twice = Seen("ann/again.jpg", 0, given[0].sha256, given[0].looks, given[0].means)
    elsewhere = Seen("bob/of ann.jpg", 1, given[2].sha256, given[2].looks, given[2].means)
    taught = teach(CLASSES, [*given, twice, elsewhere, Skipped("ann/notes.jpg", "It is no photo.")])
    assert len(taught.photos) == 59
    assert {photo.name for photo in taught.skipped} == {"ann/again.jpg", "ann/2.jpg", "bob/of ann.jpg", "ann/notes.jpg"}


def test_few_photos_are_said_to_prove_little():
    taught = teach(CLASSES, photos(count=6))
    assert "6 photos of ann prove little; 20 would do." in taught.warnings


def test_too_few_photos_that_can_be_used_are_refused_with_the_reason():
    with pytest.raises(InvalidRequest, match=r"Of class bob, 4 photos can be used; at least 5 .* broken"):
        teach(CLASSES, [*photos(count=5)[:-1], Skipped("bob/9.jpg", "The image is broken.")])


def test_photos_that_are_all_one_are_refused():
    given = photos(count=5)
    same = [Seen(photo.name, photo.label, photo.sha256, given[photo.label].looks, photo.means) for photo in given]
    with pytest.raises(InvalidRequest, match="all look alike"):
        teach(CLASSES, same)


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
