"""Figures by kind of photo, and of networks with more than two classes."""

import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from training import evaluate as module
from training.errors import TrainingError, run
from training.importing.brought import bring
from training.measuring import mistakes_page
from training.measuring.metrics import by_class, class_figures
from training.measuring.report import table
from training.tasks.evaluate import evaluate
from training.tasks.export import export

CLASSES = ("red", "green", "blue")
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def colour_network(tmp_path_factory, colour_photos) -> Path:
    """A network that names the strongest colour channel."""
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 25), layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    )
    model.layers[-1].set_weights([np.eye(3), np.zeros(3)])
    file = tmp_path_factory.mktemp("keras") / "colours.keras"
    model.save(file)
    folder = tmp_path_factory.mktemp("model") / "colours"
    bring(file, folder, CLASSES, colour_photos, unsure=0.5)
    export(folder, colour_photos, count=3)
    return folder


@pytest.fixture(scope="module")
def colour_photos(tmp_path_factory) -> Path:
    """Four photos of each colour; one that lies in red/ is green."""
    folder = tmp_path_factory.mktemp("colours")
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for index in range(4):
            shown = COLOURS["green"] if (name, index) == ("red", 3) else colour
            Image.new("RGB", (16 + index, 16), shown).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def colour_metrics(colour_network, colour_photos) -> dict:
    kinds = {("colours", f"{name}/{index}.png"): "early" if index < 2 else "late" for name in CLASSES for index in range(4)}
    return evaluate([colour_network], {"colours": colour_photos}, ["colours"], kinds)["colours"]


def test_three_classes_have_a_confusion_matrix_of_nine_cells(colour_metrics):
    assert colour_metrics["sets"]["colours"]["confusion"] == [[3, 1, 0], [0, 4, 0], [0, 0, 4]]
    assert colour_metrics["sets"]["colours"]["counts"] == [4, 4, 4]


def test_three_classes_have_an_accuracy_and_a_recall_and_precision_each(colour_metrics):
    figures = colour_metrics["sets"]["colours"]
    assert figures["accuracy"]["value"] == pytest.approx(11 / 12, abs=5e-5)
    assert figures["recall"]["value"] == pytest.approx((3 / 4 + 1 + 1) / 3, abs=5e-5)
    assert figures["false_alarm_rate"] is None
    assert {name: entry["recall"]["value"] for name, entry in figures["classes"].items()} == {
        "red": 0.75, "green": 1.0, "blue": 1.0
    }  # fmt: skip
    assert figures["classes"]["green"]["precision"]["value"] == 0.8


def test_kinds_are_listed_with_the_worst_first(colour_metrics):
    entries = colour_metrics["sets"]["colours"]["kinds"]
    assert (entries[0]["class"], entries[0]["kind"], entries[0]["photos"]) == ("red", "late", 2)
    assert [entry["accuracy"]["value"] for entry in entries] == [0.5, 1, 1, 1, 1, 1]
    assert "| colours | red | late | 2 | 0.500 (0.095–0.905) |" in table({"colours": colour_metrics})


def test_diagrams_and_mistakes_of_three_classes_are_drawn(colour_metrics, colour_network):
    for name in ("diagrams.png", "mistakes/colours.png"):
        with Image.open(colour_network / name) as picture:
            picture.load()


def test_the_page_of_mistakes_shows_the_photo_that_was_answered_wrongly(colour_metrics, colour_network):
    page = (colour_network / "mistakes" / "colours.html").read_text()
    assert page.count("<img") == page.count("data:image/jpeg;base64,") == 1
    assert "red, said green" in page
    assert "red/3.png" in page
    assert "1 of 12 photos" in page


def test_names_of_files_are_text_on_the_page_of_mistakes(tmp_path):
    file = tmp_path / "<b>&.png"
    Image.new("RGB", (9, 9)).save(file)
    answers, labels = np.array([[0.1, 0.9]]), np.array([0])
    mistakes_page.write("<i>", [file], answers, labels, ("a", "b"), np.array([0]), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_of_two_classes_of_ones_own_none_is_called_cat(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])
    model.layers[-1].set_weights([np.array([[0.1, 0], [0, 0.1], [0, 0]]), np.zeros(2)])
    model.save(tmp_path / "two.keras")
    for name in ("red", "green"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (16 + index, 16), COLOURS[name]).save(tmp_path / "photos" / name / f"{index}.png")
    bring(tmp_path / "two.keras", tmp_path / "two", ("red", "green"), tmp_path / "photos")
    export(tmp_path / "two", tmp_path / "photos", count=2)
    figures = evaluate([tmp_path / "two"], {"s": tmp_path / "photos"}, ["s"])["two"]["sets"]["s"]
    assert "cat" not in figures
    assert figures["counts"] == [3, 3]
    assert set(figures["classes"]) == {"red", "green"}
    assert figures["classes"]["green"]["precision"] == figures["classes"]["green"]["recall"]


def test_without_a_manifest_no_kinds_are_listed(colour_network, colour_photos, tmp_path):
    copy = Path(shutil.copytree(colour_network, tmp_path / "colours"))
    result = evaluate([copy], {"colours": colour_photos}, ["colours"])["colours"]
    assert "kinds" not in result["sets"]["colours"]
    assert "| kind |" not in table({"colours": result})


def test_networks_of_different_classes_are_not_measured_together(colour_network, colour_photos, model_dir):
    with pytest.raises(TrainingError, match=r"the same classes: .*colours has red, green, blue; .*dense has cat, not_cat"):
        evaluate([colour_network, model_dir / "dense"], {"colours": colour_photos}, ["colours"])


def test_two_versions_of_a_network_stand_side_by_side(colour_network, colour_photos, tmp_path):
    copies = [Path(shutil.copytree(colour_network, tmp_path / "colours" / version)) for version in ("1.0.0", "2.0.0")]
    for copy in copies:
        contract = json.loads((copy / "contract.json").read_text())
        (copy / "contract.json").write_text(json.dumps(contract | {"version": copy.name}))
    results = evaluate(copies, {"colours": colour_photos}, ["colours"])
    assert list(results) == ["colours 1.0.0", "colours 2.0.0"]


def test_the_command_reads_kinds_from_a_manifest(monkeypatch, capsys, colour_network, colour_photos, tmp_path):
    copy = Path(shutil.copytree(colour_network, tmp_path / "colours"))
    manifest = tmp_path / "manifest.csv"
    lines = [f"colours,{name},studio,{name}/{index}.png,{name}ish" for name in CLASSES for index in range(4)]
    manifest.write_text("\n".join(["split,label,source,file,kind", *lines]))
    arguments = [str(copy), "--set", f"colours={colour_photos}", "--manifest", str(manifest)]
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    module.main()
    assert "| colours | red | redish | 4 | 0.750" in capsys.readouterr().out


def test_a_manifest_of_other_sets_is_reported_in_one_line(monkeypatch, colour_network, colour_photos, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("split,label,source,file\nother,cat,web,cat/a.png\n")
    arguments = [str(colour_network), "--set", f"colours={colour_photos}", "--manifest", str(manifest)]
    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    with pytest.raises(SystemExit, match="splits are none of the sets colours"):
        run(module.main)


# Worked by hand: six photos of three classes

PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]]
)
LABELS = np.array([0, 0, 1, 1, 2, 2])


def test_figures_of_three_classes_worked_by_hand():
    figures = class_figures(PROBABILITIES, LABELS, (0.0, 0.45))
    assert figures["accuracy"].value == pytest.approx(5 / 6, abs=5e-5)
    assert figures["recall"].value == pytest.approx((1 / 2 + 1 + 1) / 3, abs=5e-5)
    assert figures["unsure"].value == pytest.approx(1 / 6, abs=5e-5)
    assert figures["decided_accuracy"].value == pytest.approx(4 / 5, abs=5e-5)


def test_the_auc_of_three_classes_is_the_mean_of_three_shares_of_pairs_in_the_right_order():
    areas = []
    for label in range(3):
        own, others = PROBABILITIES[label == LABELS, label], PROBABILITIES[label != LABELS, label]
        areas.append(np.mean([(a > b) + 0.5 * (a == b) for a in own for b in others]))
    assert class_figures(PROBABILITIES, LABELS, (0, 0))["roc_auc"].value == pytest.approx(np.mean(areas), abs=5e-5)


def test_a_set_without_one_of_the_classes_has_no_auc():
    figures = class_figures(PROBABILITIES[:4], LABELS[:4], (0, 0))
    assert (figures["roc_auc"], figures["average_precision"]) == (None, None)


def test_a_class_that_is_never_answered_has_no_precision():
    figures = by_class(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ("a", "b"))
    assert figures["b"]["precision"] is None
    assert figures["b"]["recall"].value == 0
