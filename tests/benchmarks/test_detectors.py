"""Object detectors beside the network: how different scores are compared, and the command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import detectors
from tests.benchmarks.exports import COLUMNS, export, jpeg
from tests.conftest import ROOT
from training.errors import run
from training.measuring import metrics


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Nothing here depends on the ends of an interval, and a thousand resamples take seconds."""
    monkeypatch.setattr(metrics, "RESAMPLES", 5)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two light cats, three darker photos without one, and a broken file."""
    for label, colours in {"cat": [250, 130], "not_cat": [150, 60, 30]}.items():
        (tmp_path / "few" / label).mkdir(parents=True)
        for colour in colours:
            (tmp_path / "few" / label / f"{colour}.jpg").write_bytes(jpeg(colour))
    (tmp_path / "few" / "cat" / "broken.jpg").write_bytes(b"no photo")
    return tmp_path / "few"


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command; gives its exit status and its standard error."""

    def called(*arguments: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["detectors", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(detectors.main)
        return ended.value.code, capsys.readouterr().err

    return called


# Equal false alarms


def test_the_threshold_lets_exactly_the_allowed_photos_through():
    without = np.linspace(0, 1, 1000, endpoint=False)  # 0.6 % of 1,000 are 6: those from 0.994 on
    assert detectors.threshold(without) == pytest.approx(0.993)
    assert (without > detectors.threshold(without)).sum() == 6


def test_photos_with_equal_scores_are_let_through_together_or_not_at_all():
    without = np.array([0.9] * 3 + [0.5] * 10 + [0.1] * 987)
    assert detectors.threshold(without) == 0.5  # six are allowed, but 0.5 would be the score of thirteen
    assert (without > 0.5).sum() == 3


def test_few_photos_allow_no_false_alarm():
    assert detectors.threshold(np.array([0.2, 0.7, 0.4])) == 0.7


def test_recall_false_alarms_and_auc_are_those_worked_out_by_hand():
    scores, is_cat = np.array([0.9, 0.6, 0.2, 0.7, 0.1]), np.array([True, True, True, False, False])
    found = detectors.figures(scores, is_cat, 0.5)
    assert found["recall"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["false_alarm_rate"]["value"] == 0.5
    assert found["roc_auc"]["value"] == pytest.approx(4 / 6, abs=1e-4)  # of six pairs, the cat is ahead in four


def test_a_set_without_a_cat_has_false_alarms_only():
    found = detectors.figures(np.array([0.9, 0.1]), np.array([False, False]), 0.5)
    assert (found["recall"], found["roc_auc"], found["false_alarm_rate"]["value"]) == (None, None, 0.5)


# The command


def test_models_are_measured_side_by_side(monkeypatch, capsys, tmp_path, photos):
    (tmp_path / "bright.onnx").write_bytes(export(COLUMNS, (1, 3, "height", "width"), brightness=True))
    (tmp_path / "scenes" / "not_cat").mkdir(parents=True)
    (tmp_path / "scenes" / "not_cat" / "10.jpg").write_bytes(jpeg(10))
    arguments = [
        photos,
        tmp_path / "scenes",
        "--network",
        ROOT / "model" / "cat",
        "--yolo",
        f"bright={tmp_path}/bright.onnx:32",
    ]
    monkeypatch.setattr(sys, "argv", ["detectors", *map(str, arguments), "--out", str(tmp_path / "out.json")])
    detectors.main()
    shown = capsys.readouterr()
    assert "broken.jpg" in shown.err
    result = json.loads((tmp_path / "out.json").read_text())
    bright = result["sets"]["few"]["models"]["bright"]
    assert list(result["models"]) == ["cat", "bright"]
    assert (result["sets"]["few"]["photos"], result["sets"]["few"]["cat"]) == (5, 2)
    assert result["models"]["bright"]["threshold"] == pytest.approx(
        0.75 * 150 / 255, abs=0.01
    )  # of the lightest without a cat
    assert (bright["recall"]["value"], bright["false_alarm_rate"]["value"]) == (0.5, 0)
    assert result["sets"]["scenes"]["models"]["bright"]["recall"] is None
    assert result["sets"]["pooled"]["photos"] == 6
    assert result["models"]["cat"]["relative"] == 1
    assert detectors.table(result) in shown.out
    assert "| scenes, 1 photos, 0 with a cat | cat | – | 0.000 | – |" in shown.out


def test_a_package_that_is_not_installed_is_skipped_with_what_to_type(monkeypatch, capsys, tmp_path, photos):
    monkeypatch.setattr(detectors, "FOLDER", tmp_path)
    arguments = [str(photos), "--network", str(ROOT / "model" / "cat"), "--from-package", "centernet"]
    monkeypatch.setattr(sys, "argv", ["detectors", *arguments])
    detectors.main()
    assert "skipped centernet, not installed: npm install" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["yolo11n.onnx", "=yolo11n.onnx", "yolo11n=", "yolo11n=a.onnx:0"])
def test_a_malformed_option_is_one_line(command, photos, text):
    status, line = command(photos, "--network", ROOT / "model" / "cat", "--yolo", text)
    assert str(status) == f"error: --yolo {text} must look like yolo11n=yolo11n.onnx or yolo11n=yolo11n.onnx:640"
    assert line == ""


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("a=b.onnx", ("a", Path("b.onnx"), None)),
        ("a=b.onnx:416", ("a", Path("b.onnx"), 416)),
        ("a=b:c", ("a", Path("b:c"), None)),
    ],
)
def test_an_option_names_a_file_and_perhaps_a_side(option, expected):
    assert detectors.yolo_option(option) == expected


def test_a_missing_file_is_one_line(command, photos):
    status, _ = command(photos, "--network", ROOT / "model" / "cat", "--yolo", "a=missing.onnx")
    assert status == "error: missing.onnx cannot be read: No such file or directory"


def test_mistakes_on_the_command_line_are_one_line(command, photos, tmp_path):
    cat = ROOT / "model" / "cat"
    assert "two models are called cat" in command(photos, "--network", cat, "--network", f"cat={cat}")[0]
    assert "each folder of photos needs a name of its own" in command(photos, photos, "--network", cat)[0]
    assert "holds no network that looks for cats" in command(photos, "--network", tmp_path)[0]
    assert command(photos, "--threads", "0") == (2, "error: --threads must be at least 1; see --help\n")
    assert "is not a folder" in command(tmp_path / "none", "--network", cat)[0]


def test_photos_of_cats_alone_set_no_threshold(command, photos):
    for path in (photos / "not_cat").iterdir():
        path.unlink()
    (photos / "not_cat").rmdir()
    status, _ = command(photos, "--network", ROOT / "model" / "cat")
    assert status == "error: there is no photo without a cat, so no threshold can be set"
