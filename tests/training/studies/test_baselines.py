"""What freely available models say about photos, for comparison."""

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.conftest import encoded
from training.errors import TrainingError, run
from training.measuring import metrics
from training.studies import baselines
from training.tasks import baselines as task
from training.tasks.baselines import SIDE, Model, cascade, central, imagenet, measure


def photo(name: str) -> Image.Image:
    return Image.open(Path(skimage.data.__file__).parent / name).convert("RGB")


@pytest.fixture(scope="module")
def network() -> Model:
    return imagenet()


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Nothing here depends on the ends of an interval, and a thousand resamples take seconds."""
    monkeypatch.setattr(metrics, "RESAMPLES", 5)


@pytest.fixture
def folder(tmp_path, cat_photo) -> Path:
    """One cat and two photos without one."""
    for label, names in {"cat": ["chelsea.png"], "not_cat": ["rocket.jpg", "coffee.png"]}.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for name in names:
            (tmp_path / "photos" / label / name).write_bytes((Path(skimage.data.__file__).parent / name).read_bytes())
    return tmp_path / "photos"


# ImageNet's network


def test_imagenets_network_recognises_chelsea_as_a_cat(network, cat_image):
    assert 0.5 < network(cat_image) <= 1


@pytest.mark.parametrize("name", ["rocket.jpg", "coffee.png", "astronaut.png"])
def test_imagenets_network_sees_no_cat_in_scikit_images_other_photos(network, name):
    assert 0 <= network(photo(name)) < 0.1


def test_the_central_square_has_the_size_that_the_network_was_trained_at(cat_image):
    square = central(cat_image)
    assert (square.shape, square.dtype) == ((SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("size", [(100, 100), (300, 100), (100, 260)])
def test_the_central_square_shows_seven_eighths_of_the_shorter_side(size):
    """A white square of half that side covers a quarter of what is seen."""
    image = Image.new("RGB", size)
    left, top = (size[0] - 44) // 2, (size[1] - 44) // 2
    image.paste("white", (left, top, left + 44, top + 44))
    assert central(image).mean() / 255 == pytest.approx(44**2 / 87.5**2, abs=0.01)


# The cascade


def test_the_cascade_answers_yes_or_no():
    """It is a poor judge: it says no to a cat and yes to a cell under a microscope."""
    model = cascade()
    assert {model(photo(name)) for name in ("chelsea.png", "cell.png", "rocket.jpg")} == {0.0, 1.0}


def test_the_cascade_answers_the_same_whichever_thread_asks():
    model = cascade()
    images = [photo(name) for name in ("cell.png", "rocket.jpg")]
    with ThreadPoolExecutor(task.os.cpu_count()) as pool:
        assert list(pool.map(model, images * 3)) == [model(image) for image in images] * 3


@pytest.fixture
def detecting(monkeypatch) -> Callable[[Callable[[], list[int]]], None]:
    """Replace OpenCV by detectors that call a function with themselves."""

    def detect(detect_with: Callable[[object], list[int]]) -> None:
        class Detector:
            def __init__(self, _path: str) -> None:
                pass

            def detectMultiScale(self, _grey: np.ndarray, **_: object) -> list[int]:  # noqa: N802 OpenCV's name
                return detect_with(self)

        fake = SimpleNamespace(
            __file__="", data=SimpleNamespace(haarcascades=""), CascadeClassifier=Detector, equalizeHist=lambda grey: grey
        )
        monkeypatch.setitem(sys.modules, "cv2", fake)

    return detect


def test_two_threads_that_ask_at_once_use_two_detectors(detecting, monkeypatch):
    monkeypatch.setattr(task.os, "cpu_count", lambda: 2)
    together, used = threading.Barrier(2, timeout=30), set()

    def fake_detector(detector: object) -> list[int]:
        used.add(id(detector))
        together.wait()
        return []

    detecting(fake_detector)
    model = cascade()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(model, [Image.new("RGB", (8, 8))] * 2)) == [0.0, 0.0]
    assert len(used) == 2


def test_a_detector_that_failed_can_be_asked_again(detecting, monkeypatch):
    monkeypatch.setattr(task.os, "cpu_count", lambda: 1)
    answers = iter([ValueError("broken"), [1]])

    def fake_detector(_: object) -> list[int]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    detecting(fake_detector)
    model = cascade()
    with pytest.raises(ValueError, match="broken"):
        model(Image.new("RGB", (8, 8)))
    assert model(Image.new("RGB", (8, 8))) == 1.0


@pytest.mark.parametrize(
    "installed",
    [None, SimpleNamespace(), SimpleNamespace(__file__="", data=SimpleNamespace(haarcascades=""))],
    ids=["none", "bare", "5"],
)
def test_a_missing_opencv_4_is_reported_in_one_sentence_with_the_command_that_installs_it(monkeypatch, installed):
    monkeypatch.setitem(sys.modules, "cv2", installed)
    with pytest.raises(TrainingError) as error:
        cascade()
    assert str(error.value) == "the cascade needs OpenCV 4: pip install 'opencv-python-headless<5'"


# Measuring


def bright(image: Image.Image) -> float:
    """A model without dependencies."""
    return float(np.asarray(image).mean() / 255)


def test_each_model_has_its_figures(folder):
    result = measure({"always": lambda _: 1.0, "never": lambda _: 0.0}, folder, "set")
    assert {name: result[name]["accuracy"]["value"] for name in ("always", "never")} == pytest.approx(
        {"always": 1 / 3, "never": 2 / 3}, abs=1e-4
    )


@pytest.mark.parametrize(("figure", "expected"), [("recall", 1.0), ("false_alarm_rate", 1.0), ("accuracy", 1 / 3)])
def test_the_figures_of_a_model_that_always_says_cat_are_worked_by_hand(folder, figure, expected):
    assert measure({"always": lambda _: 1.0}, folder, "set")["always"][figure]["value"] == pytest.approx(expected, abs=1e-4)


def test_a_broken_photo_is_left_out(folder, cat_photo):
    (folder / "cat" / "half.png").write_bytes(cat_photo[:3000])
    assert measure({"bright": bright}, folder, "set")["photos"] == 3


def test_photos_are_turned_upright_before_they_are_classified(folder):
    sizes = []
    photo = Image.new("RGB", (30, 20))
    exif = photo.getexif()
    exif[0x0112] = 6  # a quarter turn
    (folder / "cat" / "turned.jpg").write_bytes(encoded(photo, "JPEG", exif=exif))
    measure({"size": lambda image: sizes.append(image.size) or 0.0}, folder, "set")
    assert (20, 30) in sizes


# The command


@pytest.fixture
def command(folder, tmp_path, monkeypatch) -> Path:
    """Runs the command with models without dependencies on two sets; returns the file that it writes."""
    out = tmp_path / "references.json"
    monkeypatch.setattr(task, "imagenet", lambda: lambda _: 1.0)
    monkeypatch.setattr(task, "cascade", lambda: lambda _: 0.0)
    sets = ["--set", f"one={folder}", "--set", f"two={folder}"]
    monkeypatch.setattr(sys, "argv", ["references", *sets, "--out", str(out)])
    return out


def test_the_command_writes_the_figures_of_each_set(command):
    baselines.main()
    sets = json.loads(command.read_text())["sets"]
    assert {name: figures["cascade"]["accuracy"]["value"] for name, figures in sets.items()} == pytest.approx(
        {"one": 2 / 3, "two": 2 / 3}, abs=1e-4
    )


def test_the_file_says_which_command_made_it(command, folder):
    baselines.main()
    expected = f"python -m training.studies.baselines --set one={folder} --set two={folder} --out {command}"
    assert json.loads(command.read_text())["command"] == expected


def test_the_file_says_what_each_model_is(command):
    baselines.main()
    results = json.loads(command.read_text())
    assert set(results["models"]) == set(results["sets"]["one"]) - {"photos"}


def test_the_command_prints_a_line_for_each_set(command, capsys):
    baselines.main()
    assert capsys.readouterr().out.splitlines() == ["one imagenet 0.333 cascade 0.667", "two imagenet 0.333 cascade 0.667"]


def test_a_missing_opencv_ends_the_command_with_the_sentence(command, monkeypatch):
    monkeypatch.setattr(task, "cascade", cascade)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SystemExit, match=r"^error: the cascade needs OpenCV 4: pip install"):
        run(baselines.main)
    assert not command.exists()
