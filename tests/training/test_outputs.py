"""Where a command cannot write, it says so before it works."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.training.runs import FAST
from training import outputs
from training.errors import TrainingError
from training.fitting.checkpoint import Checkpoints, State
from training.fitting.fit import compile_for
from training.networks import build


@contextmanager
def full_disk() -> Iterator[None]:
    """Within it no file grows beyond four blocks, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path):
    outputs.check_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path):
    outputs.check_folder(tmp_path / "model" / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "mine"], ids=["in its place", "above it"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, below):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(TrainingError, match=r"file is not a folder$"):
        outputs.check_folder(tmp_path / "file" / below)


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match=r"link is not a folder$"):
        outputs.check_folder(tmp_path / "link")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux has a file system that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_named_with_the_reason():
    with pytest.raises(TrainingError, match=r"^/proc/mine cannot be written to: \w"):
        outputs.check_folder(Path("/proc/mine"))


def test_a_disk_without_space_is_seen_beforehand(tmp_path):
    with full_disk(), pytest.raises(TrainingError, match="mine cannot be written to: File too large"):
        outputs.check_folder(tmp_path / "mine")


def test_a_file_can_be_written_into_a_folder_that_is_not_there_yet(tmp_path):
    path = tmp_path / "figures" / "new.json"
    outputs.check_file(path)
    outputs.replace(path, "{}")
    assert path.read_text() == "{}"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(TrainingError, match="is a folder; name a file"):
        outputs.check_file(tmp_path)


def test_a_disk_that_fills_up_in_a_run_costs_the_last_epoch_and_no_other(tmp_path):
    network = build("dense", training=True)
    compile_for(network, FAST, 4)
    checkpoints, state = Checkpoints(tmp_path), State(asdict(FAST), "", [{"validation_loss": 1.0}])
    checkpoints.save(network, state)
    state.epochs.append({"validation_loss": 0.5})
    told = r"^epoch 2 cannot be saved in .*: File too large; the checkpoint of epoch 1 is kept$"
    with full_disk(), pytest.raises(TrainingError, match=told):
        checkpoints.save(network, state)
    assert {path.name for path in checkpoints.folder.iterdir()} == {"epoch-0001.keras", "state.json"}
    assert len(checkpoints.begin(FAST, "", resume=True).epochs) == 1
