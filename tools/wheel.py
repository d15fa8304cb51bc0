"""Makes the wheel's one package, `catscope`, of this repository's `app/`, `training/` and `model/`. Hatchling calls it.

    app/ -> catscope/        training/ -> catscope/training/        model/ -> catscope/model/

Other packages are called `app`, `training` and `model` too, so these names may not stand in anybody's site-packages. The
modules are copied with their imports renamed; nothing is left to be done when they run.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

RENAMED = {"app": "catscope", "training": "catscope.training"}

IMPORT = re.compile(r"^(\s*(?:from|import) )(app|training)(?=[. ])", re.MULTILINE)
COMMAND = re.compile(r'(-m(?: |", f?"))(app|training)\b')
"""What starts a module: `python -m app` in a text, `"-m", "app.teach.worker"` in a command."""

NETWORK = (
    "contract.json",
    "epochs.npy",
    "history.json",
    "int8.onnx",
    "memory.npz",
    "metrics.json",
    "model.keras",
    "model.onnx",
    "model.sig",
)
"""The files of a network, or of one of its versions, that are installed."""


class WheelHook(BuildHookInterface[Any]):
    """Gives hatchling the files of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name each file of the wheel in `build_data`. Raises ValueError for `pip install --editable`."""
        if version == "editable":
            raise ValueError("an editable installation has no package catscope; in a checkout, run `make serve`")
        self._renamed = tempfile.TemporaryDirectory()
        root, copies = Path(self.root), Path(self._renamed.name)
        for source, target in contents(root):
            if source.suffix == ".py":
                copy = copies / target
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(renamed(source.read_text(encoding="utf-8")), encoding="utf-8")
                source = copy
            build_data["force_include"][str(source)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the copies."""
        self._renamed.cleanup()


def contents(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file that is installed, with its path in the wheel."""
    for folder, package in (("app", "catscope"), ("training", "catscope/training")):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".md", ".pyc"):
                yield path, f"{package}/{path.relative_to(root / folder).as_posix()}"
    for path in sorted((root / "model").rglob("*")):
        parts = path.relative_to(root).parts
        if path.name in NETWORK and len(parts) in (3, 4) and "checkpoints" not in parts:
            yield path, "/".join(("catscope", *parts))


def renamed(source: str) -> str:
    """A module's source with its imports, and the commands that it names, as they are in the wheel."""
    source = IMPORT.sub(lambda found: found[1] + RENAMED[found[2]], source)
    return COMMAND.sub(lambda found: found[1] + RENAMED[found[2]], source)
