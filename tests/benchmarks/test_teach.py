"""The benchmark of teaching measures on photos that were not taught, and sums up what it found."""

from pathlib import Path

import numpy as np

from benchmarks import teach, teach_int8

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
    unfamiliar = {"auroc": 0.9, "points": [[share, 0.5] for share in teach.FALSE], "limit": [0.04, 0.8]}
    run = {"classes": 5, "seconds": 2.0, "promised": [0.7, 0.8, 0.9], "unfamiliar": unfamiliar, "left_out": 0.75}
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
    assert summed[0]["unfamiliar"] == unfamiliar | {"left_out": 0.75}
    row = "| around the house | 5 | 0.900 | 50% | 50% | 50% | 4.0% | 80% | 0.750 |"
    assert row in teach.unfamiliar_table({"summary": summed}).splitlines()


def test_the_roc_curve_counts_the_pairs_in_which_the_other_photo_is_farther():
    own, other = np.arange(100) / 100, np.array([0.5, 0.965, 2.0, 3.0])
    found = teach.apart(own, other, limit=0.97)
    assert found["auroc"] == round((50.5 + 97 + 100 + 100) / 400, 4)
    assert found["points"] == [[0.01, 0.5], [0.05, 0.75], [0.1, 0.75]]
    assert found["limit"] == [0.02, 0.5]


def test_a_class_that_was_not_taught_is_told_from_those_that_were():
    means = np.full((30, 2, 40), 0.1, np.float32) + np.random.default_rng(0).random((30, 2, 40), np.float32) / 100
    labels = np.repeat([0, 1, 2], 10)
    for label in range(3):
        means[labels == label, :, label] = 1
    assert teach.left_out(means, labels, means[:, 0], labels) == 1
    mixed = np.random.default_rng(0).permutation(labels)
    assert teach.left_out(means, mixed, means[:, 1], np.random.default_rng(1).permutation(labels)) < 0.7


def test_others_hold_no_kind_that_a_task_teaches(tmp_path):
    listed = {"not_cat/dog.jpg": 151, "not_cat/abacus.jpg": 398, "not_cat/daisy.jpg": 985}
    lines = [f"{file},n0,{index},name" for file, index in listed.items()]
    (tmp_path / "val-objects-classes.csv").write_text("\n".join(["file,synset,imagenet_index,name", *lines]))
    kinds = {
        ("imagenet", "imagenet"): [tmp_path / "val-objects" / file for file in listed],
        ("species151", "panthera-leo"): [Path("lion")],
        ("species151", "ovis-aries"): [Path("sheep")],
        ("species151", "tapirus"): [Path("tapir")] * 200,
        ("vietscenes", "scene"): [Path("street")],
    }
    found = teach.others(kinds, tmp_path)
    assert [path.name for path in found["things"]] == ["abacus.jpg"]
    assert found["wild animals"] == [Path("tapir")] * 100
    assert found["streets"] == [Path("street")]


def test_a_network_that_got_no_twin_is_counted_and_its_teaching_too():
    known = {"answered": 180, "own": 130, "changed": 1, "left": 20, "changed_alone": 4, "opposite_alone": 0}
    precisions = {"float32": 120, "int8": 119, "auto": 120}
    run = {"photos": 5, "draw": 0, "seconds": {"float": 2.0, "both": 2.5}, "right": precisions} | known
    run["spent"] = {"float32": 10.0, "int8": 5.0, "auto": 6.25}
    refused = {"photos": 5, "draw": 1, "seconds": {"float": 2.0, "both": 2.3}, "refused": "why", "sets": {}}
    runs = [{"task": task} | one for task in teach.TASKS for one in (run, refused)]
    first = teach_int8.summary(runs)[0]
    assert (first["written"], first["draws"], first["teaching"]) == (1, 2, 1.2)
    assert first["times_as_fast"] == {"float32": 1.0, "int8": 2.0, "auto": 1.6}
    name = next(iter(teach.TASKS))
    assert f"| {name} | 5 | 1 of 2 | 180 | 120 | 120 | 1 | 20 | 1.6 | 4 | 0 | 2.0 | 1.2 |" in teach_int8.table(
        {"runs": runs}
    )
