"""python -m app correct and python -m app review: what is right is kept, reviewed, undone, deleted and exported."""

import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from app.corrections.records import Correction
from app.corrections.store import open_store
from app.settings import Settings
from tests.app.corrections.kept import correction
from tests.conftest import CHELSEA, ROOT, command, environment, sha256


@pytest.fixture
def app(model_dir, tmp_path):
    """Runs a command of the untrained networks with a store."""
    settings = {"model_dir": model_dir, "store": tmp_path / "store", "network": "tutorial"}
    return lambda *arguments, **more: command(*arguments, **settings | more)


def reviewed(app, *options: str) -> list[dict]:
    result = app("review", "--json", *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


EARLIER = datetime.now(UTC) - timedelta(hours=1)


def kept_earlier(photo: bytes = b"photo", label: str | None = "cat", network: str = "tutorial") -> Correction:
    return correction(photo, label, network, EARLIER)


def keep(tmp_path, *kept) -> None:
    """Put these (correction, photo) into the store."""
    store = open_store(Settings(store=tmp_path / "store"))
    for one, photo in kept:
        store.add(one, photo)
    store.close()


def test_a_photo_is_kept_with_what_the_network_said_and_what_is_right(app, cat_photo):
    result = app("correct", CHELSEA, "--label", "cat")
    assert result.returncode == 0, result.stderr
    [kept] = reviewed(app)
    assert (kept["label"], kept["kind"], kept["source"], kept["network"]) == ("cat", "corrected", "command", "tutorial")
    assert kept["sha256"] == sha256(cat_photo)
    assert sum(kept["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert result.stdout == f"{kept['id']} {CHELSEA}: tutorial said {kept['verdict']}, right is cat\n"


def test_another_network_is_named(app):
    assert app("correct", CHELSEA, "--label", "not_cat", "--network", "dense").returncode == 0
    assert [kept["network"] for kept in reviewed(app)] == ["dense"]
    assert reviewed(app, "--network", "tutorial") == []


def test_what_cannot_be_read_is_named_and_the_others_are_kept(app, no_photo, tmp_path):
    result = app("correct", no_photo, tmp_path / "missing.jpg", CHELSEA, "--label", "cat")
    assert result.returncode == 2
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["not kept", "not kept"]
    assert "is text" in result.stderr
    assert "missing.jpg: No such file" in result.stderr
    assert len(reviewed(app)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("correct", CHELSEA, "--label", "dog"), "'dog' is no class of network tutorial; its classes are cat, not_cat"),
        (("correct", CHELSEA, "--label", "cat", "--network", "lion"), "there is no network lion"),
        (("correct", CHELSEA), "--label"),
        (("review", "--day", "2026-02-30"), "'2026-02-30' is no date"),
        (("review", "--delete", "0" * 24), "no correction 000000000000000000000000"),
        (("review", "--delete", "../.."), "no correction '../..'"),
        (("review", "--label", "cat"), "an id and a class"),
        (("review", "--label", f"{'0' * 24}=cat"), "no correction"),
        (("review", "--delete-all"), "add --yes"),
        (("review", "--delete-all", "--export", "x.zip"), "not allowed with"),
        (("review", "--export", CHELSEA), "already exists"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(app, arguments, message):
    result = app(*arguments)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [("correct", CHELSEA, "--label", "cat"), ("review",)])
def test_without_a_store_the_setting_is_named(app, arguments):
    result = app(*arguments, store="")
    assert result.returncode == 2
    assert "CATSCOPE_STORE" in result.stderr


@pytest.mark.parametrize("arguments", [("correct", CHELSEA, "--label", "cat"), ("review",)])
def test_a_store_that_cannot_be_made_is_said(app, tmp_path, arguments):
    (tmp_path / "file").write_text("no folder")
    result = app(*arguments, store=tmp_path / "file" / "store")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "Not a directory" in line
    assert str(tmp_path / "file") in line, "the operator may know where"


def test_unsure_photos_are_labelled_and_undone(app, tmp_path):
    unsure = kept_earlier(label=None)
    keep(tmp_path, (unsure, b"photo"))
    [listed] = reviewed(app, "--kind", "unsure")
    assert (listed["id"], listed["label"]) == (unsure.id, None)
    assert "right is ?" in app("review").stdout
    result = app("review", "--label", f"{unsure.id}=cat")
    assert result.returncode == 0, result.stderr
    [labelled] = reviewed(app)
    assert (labelled["kind"], labelled["label"], labelled["source"]) == ("corrected", "cat", "command")
    assert {name: labelled[name] for name in ("verdict", "version", "probabilities", "sha256")} == {
        name: listed[name] for name in ("verdict", "version", "probabilities", "sha256")
    }
    assert reviewed(app, "--kind", "unsure") == []
    assert f"undo: --delete {labelled['id']}" in result.stdout
    assert app("review", "--delete", labelled["id"]).returncode == 0
    assert reviewed(app) == [listed]


def test_a_label_that_is_no_class_changes_nothing(app, tmp_path):
    first, second = kept_earlier(b"1", None), kept_earlier(b"2", None)
    keep(tmp_path, (first, b"1"), (second, b"2"))
    result = app("review", "--label", f"{first.id}=cat", "--label", f"{second.id}=dog")
    assert result.returncode == 2
    assert "'dog' is no class" in result.stderr
    assert len(reviewed(app, "--kind", "unsure")) == 2


def test_it_is_listed_by_kind_and_day_and_a_name_cannot_break_the_line(app, tmp_path):
    kept = kept_earlier(b"1", "line\nbreak\x1b[31m")
    keep(tmp_path, (kept, b"1"), (kept_earlier(b"2", None), b"2"))
    assert [one["id"] for one in reviewed(app, "--kind", "corrected")] == [kept.id]
    assert len(reviewed(app, "--day", str(EARLIER.date()))) == 2
    assert reviewed(app, "--day", "2020-01-01") == []
    lines = app("review").stdout.splitlines()
    assert len(lines) == 2
    assert any(r"line\nbreak\x1b[31m" in line for line in lines)


def test_everything_is_deleted_if_that_is_said_twice(app, tmp_path):
    keep(tmp_path, (kept_earlier(b"1"), b"1"), (kept_earlier(b"2"), b"2"))
    assert app("review", "--delete-all").returncode == 2
    assert len(reviewed(app)) == 2
    assert app("review", "--delete-all", "--yes").stdout == "deleted: 2 corrections and 2 photos\n"
    assert reviewed(app) == []
    assert not [path for path in (tmp_path / "store" / "photos").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "filtered", [("--network", "lion"), ("--network", ""), ("--kind", "unsure"), ("--day", "2020-01-01")]
)
def test_everything_is_not_deleted_where_only_some_is_named(app, tmp_path, filtered):
    keep(tmp_path, (kept_earlier(), b"photo"))
    result = app("review", "--delete-all", "--yes", *filtered)
    assert (result.returncode, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert f"--delete-all deletes everything, so it takes no {filtered[0]}" in line
    assert len(reviewed(app)) == 1


def test_it_is_exported_where_nothing_is_overwritten(app, tmp_path):
    app("correct", CHELSEA, "--label", "cat")
    result = app("review", "--export", tmp_path / "all.zip")
    assert result.stdout == f"{tmp_path / 'all.zip'} holds 1 photos\n"
    with zipfile.ZipFile(tmp_path / "all.zip") as file:
        assert f"cat/{sha256(CHELSEA.read_bytes())}.png" in file.namelist()
    assert app("review", "--export", tmp_path / "all.zip").returncode == 2


def test_a_reader_that_stops_reading_ends_it_quietly(tmp_path, model_dir):
    keep(tmp_path, *((kept_earlier(b"%d" % n, network=f"n{n}"), b"%d" % n) for n in range(20)))
    shell = f"{sys.executable} -m app review | head -1"
    settings = environment(model_dir=model_dir, store=tmp_path / "store")
    result = subprocess.run(
        shell, shell=True, env=settings, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (len(result.stdout.splitlines()), result.stderr) == (1, "")
