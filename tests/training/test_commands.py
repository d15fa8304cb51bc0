"""What all training commands share: help and mistakes need no Keras, and nothing is read before it is known that all can be
written.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.config import PREPROCESSED
from training.importing import colours

COMMANDS = (
    *("train", "refine", "remember", "evaluate", "export", "fetch"),
    *("studies.baselines", "studies.catvnoncat", "studies.pointing"),
)
TRAIN = "train --network dense --data photos --out out"
EXPORT = "export their.keras --data photos --out out --classes a b"
REFINE = "refine --photos photos --manifests manifest.csv --start start --work work --out out --hold-out garipov"
BASELINES = "studies.baselines --set a=photos --out out"
POINTING = f"studies.pointing {ROOT}/model/dense --cats photos --scenes photos --out out"
COURSE = "studies.catvnoncat --h5 h5 --out out"
REMEMBER = f"remember {ROOT}/model/cat --data photos --manifests manifest.csv --held-out val-pets"
EVALUATE = f"evaluate {ROOT}/model/dense --set a=photos"

MISTAKES = {
    "a single class": (f"{TRAIN} --classes a", "two or more"),
    "no epoch": (f"{TRAIN} --epochs 0", "must be above zero"),
    "a finished network": (TRAIN.replace("--out out", "--out finished"), "holds a finished network"),
    "an unfinished run": (TRAIN.replace("--out out", "--out unfinished"), "holds an unfinished run; --resume continues it"),
    "no photos to learn from": (TRAIN.replace("photos", "nowhere"), "nowhere is not a folder"),
    "no folder of a class": (f"{TRAIN} --classes cat dog", "has no folder dog"),
    "a network that is not there": ("export nowhere --data photos", "nowhere holds no model.keras"),
    "a file that is not there": (EXPORT.replace("their", "no"), "no.keras"),
    "no photos to compare on": (EXPORT.replace("photos", "nowhere"), "nowhere is not a folder"),
    "an impossible share": (f"{EXPORT} --unsure 1", "--unsure is 1.0"),
    "a folder that is not empty": (EXPORT.replace("--out out", "--out h5"), "h5 holds something already"),
    "a network that was not exported": ("evaluate start --set a=photos", "contract.json cannot be read"),
    "no photos to measure on": (EVALUATE.replace("photos", "nowhere"), "nowhere is not a folder"),
    "a set without a name": (EVALUATE.replace("a=", ""), "--set photos must look like"),
    "no manifest": (REFINE.replace("manifest.csv", "nowhere.csv"), "nowhere.csv is no manifest"),
    "an unknown source": (REFINE.replace("garipov", "mars"), "no source mars"),
    "no version to start from": (REFINE.replace("--start start", "--start h5"), "h5 holds no model.keras"),
    "a network that cannot learn": (
        REMEMBER.replace("model/cat", "model/dense"),
        "dense has no stages likeness and evidence",
    ),
    "a split that was learned from": (REMEMBER.replace("val-pets", "train"), "train was learned from"),
    "no photos to remember": (REMEMBER.replace("manifest.csv", "nowhere.csv"), "nowhere.csv is no manifest"),
    "no photos for the baselines": (BASELINES.replace("photos", "nowhere"), "nowhere is not a folder"),
    "no course set": (COURSE.replace("--h5 h5", "--h5 start"), "start/train_catvnoncat.h5 is missing"),
    "no seed": (f"{COURSE} --seeds 0", "must be at least 1"),
    "a manifest without photos": (f"{POINTING} --manifests manifest.csv", "go together"),
    "a network without a heatmap": (POINTING.replace("dense", "none"), "none/contract.json cannot be read"),
}
WRITERS = {
    "train": TRAIN,
    "export": EXPORT,
    "refine": REFINE,
    "refine's work": REFINE.replace("--work work --out out", "--out new --work out"),
    "fetch": "fetch oxford-pets --out out",
    "baselines": BASELINES,
    "catvnoncat": COURSE,
    "pointing": POINTING,
}
FOLDERS = ("train", "export", "refine", "refine's work", "fetch", "catvnoncat")
"""Those that write a folder, not a file."""
UNWRITABLE = {"in the place of a file": "file", "below a file": "file/new", "where nobody can write": "/proc/new/new"}

QUICKLY = """
import contextlib, importlib, io, json, shlex, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "onnx", "matplotlib", "sklearn", "scipy"):
            raise AssertionError(name + " takes long to import")

sys.meta_path.insert(0, Refuse())
from training.errors import run

answers = {}
for line in json.load(sys.stdin):
    sys.argv = shlex.split(line)
    out, error, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            run(importlib.import_module("training." + sys.argv[0]).main)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
            print("" if isinstance(stop.code, int) else stop.code, end="", file=error)
        except AssertionError as slow:
            print(slow, file=error)
    answers[line] = (status, out.getvalue(), error.getvalue())
json.dump(answers, sys.stdout)
"""
"""Runs commands in one process, where importing a slow library fails, and prints the status and the output of each."""


@pytest.fixture(scope="module")
def folder(photos, tmp_path_factory) -> Path:
    """Where the commands below run: photos, a file of a network, a manifest, a folder of version 1.0.0, the course's files."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "photos").symlink_to(photos)
    (folder / "file").write_text("a file")
    (folder / "their.keras").write_text("unread")
    (folder / "manifest.csv").write_text("split,label,source,file\ntrain,cat,garipov,cat/a.jpg\n")
    for name in ("start", "finished", "unfinished/checkpoints", "h5"):
        (folder / name).mkdir(parents=True)
    for name in ("start", "finished"):
        (folder / name / "model.keras").write_text("unread")
    (folder / "unfinished" / "checkpoints" / "state.json").write_text("{}")
    for part in ("train", "test"):
        (folder / "h5" / f"{part}_catvnoncat.h5").write_text("unread")
    return folder


@pytest.fixture(scope="module")
def answers(folder) -> dict[str, tuple[int, str, str]]:
    """How every command below ends, with its standard output and error."""
    lines = [*(f"{name} --sideways" for name in COMMANDS), *(line for line, _ in MISTAKES.values())]
    lines += [unwritable(line, out) for line in WRITERS.values() for out in UNWRITABLE.values()]
    result = subprocess.run(
        [sys.executable, "-c", QUICKLY],
        input=json.dumps(lines),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return {line: tuple(answer) for line, answer in json.loads(result.stdout).items()}


def unwritable(line: str, out: str) -> str:
    """The command with another folder, or file, to write to."""
    return line.replace(" out", f" {out}")


def refused(answer: tuple[int, str, str]) -> str:
    """The one line on standard error, after which the status is 1."""
    status, out, error = answer
    assert error.startswith("error: ")
    assert (status, out, error.count("\n")) == (1, "", 0)
    return error


@pytest.mark.parametrize("name", COMMANDS)
def test_help_prints_the_usage_and_imports_nothing_slow(name):
    code = (
        QUICKLY[: QUICKLY.index("from training")] + f"import runpy; runpy.run_module('training.{name}', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: python -m training.{name} [-h] ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_command_is_reported_in_one_line(answers, name):
    status, out, error = answers[f"{name} --sideways"]
    assert (status, out) == (2, "")
    assert error.startswith("error: the following arguments are required: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_in_one_line_before_anything_slow_is_imported(answers, line, message):
    assert message in refused(answers[line])


@pytest.mark.parametrize("out", list(UNWRITABLE.values())[1:], ids=list(UNWRITABLE)[1:])
@pytest.mark.parametrize("line", WRITERS.values(), ids=WRITERS)
def test_a_command_says_that_it_cannot_write_before_it_works(answers, line, out):
    assert out.removesuffix("/new") in refused(answers[unwritable(line, out)])
    assert " cannot be written to: " in answers[unwritable(line, out)][2]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_in_the_place_of_a_folder_is_reported_before_the_work(answers, name):
    told = refused(answers[unwritable(WRITERS[name], "file")])
    assert "file is not a folder" in told or "file holds something already" in told


def test_what_was_refused_left_nothing_behind(answers, folder):
    assert {path.name for path in folder.iterdir()} == {
        *("photos", "file", "their.keras", "manifest.csv", "start", "finished", "unfinished", "h5")
    }
    assert [path.name for path in (folder / "start").iterdir()] == ["model.keras"]


def test_the_command_line_knows_every_way_to_prepare_colours():
    assert set(PREPROCESSED) == set(colours.PREPROCESSED)
