"""Where a command writes: whether it can, before it works for hours, and files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from training.errors import TrainingError

PROBE_BYTES = 2**20
"""What is written and removed again to see whether anything can be: more than a file system keeps with a file's name."""


def check_folder(folder: Path) -> None:
    """Raise TrainingError unless files can be written into `folder`, which may not be there yet; leave nothing behind.

    It really writes: permissions say nothing about full disks, and next to nothing to an administrator.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise TrainingError(f"{folder} cannot be written to: {nearest} is not a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}") from error


def check_file(path: Path) -> None:
    """Raise TrainingError unless a file can be written to `path`."""
    if path.is_dir():
        raise TrainingError(f"{path} is a folder; name a file")
    check_folder(path.parent)


def check_empty(out: Path, version: str) -> None:
    """Raise TrainingError if `out`, which is to be the folder of a network of that version, holds something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} holds something already; name another folder, such as {out / version}")


def check_unfinished(out: Path) -> None:
    """Raise TrainingError if `out` holds a run that was interrupted."""
    folder = checkpoints(out)
    if (folder / "state.json").exists():
        raise TrainingError(f"{folder} holds an unfinished run; --resume continues it; remove the folder to start over")


def checkpoints(out: Path) -> Path:
    """The folder of the checkpoints of the network that is trained in `out`."""
    return out / "checkpoints"


def replace(path: Path, text: str) -> None:
    """Write a text file atomically: a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
