"""The benchmark of teaching measures on photos that were not taught, and sums up what it found."""

from pathlib import Path

from benchmarks import teach

KINDS = {
    ("one", "a"): [Path(f"a{number}") for number in range(60)],
    ("two", "b"): [Path(f"b{number}") for number in range(25)],
}
CLASSES = {"first": (("one", "a"),), "second": (("two", "b"),)}


def test_no_photo_is_taught_and_measured_and_few_are_a_part_of_many():
    few, held_out = teach.drawn(KINDS, CLASSES, "0 task", 5)
    many, others = teach.drawn(KINDS, CLASSES, "0 task", 20)
    assert (len(few), len(many), len(held_out)) == (10, 40, 35)
    assert set(few) < set(many)
    assert held_out == others
    assert not set(many) & set(held_out)
    assert teach.drawn(KINDS, CLASSES, "1 task", 5) != (few, held_out)


def test_the_summary_says_how_often_the_promise_was_held():
    run = {"classes": 5, "seconds": 2.0, "promised": [0.7, 0.8, 0.9]}
    runs = [
        run | {"task": task, "photos": count, "accuracy": dict.fromkeys(teach.METHODS, accuracy)}
        for task in teach.TASKS
        for count in teach.COUNTS
        for accuracy in (0.6, 0.8)
    ]
    summed = teach.summary(runs)
    assert len(summed) == len(teach.TASKS) * len(teach.COUNTS)
    assert summed[0]["teach"] == [0.7, 0.6, 0.8]
    assert (summed[0]["promise_held"], summed[0]["runs"]) == (1, 2)
    assert "| 0.700 (0.600–0.800) |" in teach.table({"summary": summed})
