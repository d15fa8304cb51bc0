"""The files of a new version come in; its folder in the store goes out, whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from app.errors import NetworkError


def after(versions: list[str]) -> str:
    """The number of the next version: a minor version above the newest of all that there ever were."""
    numbers = []
    for version in versions:
        try:
            numbers.append(Version(version))
        except InvalidVersion:
            continue
    newest = max(numbers, default=Version("1.0.0"))
    return f"{newest.major}.{newest.minor + 1}.0"


def write(folder: Path, contract: Mapping[str, Any], files: Mapping[str, bytes], records: Mapping[str, Any]) -> None:
    """Write a version's folder; it appears in one step, so a process that is killed leaves no part of it to be served.

    Args:
        folder: NETWORK/VERSION in the store; NETWORK may hold another version itself, see app.inference.networks.versions.
        contract: all but the digests of the files.
        files: names and bytes.
        records: names and contents of further JSON files, such as metrics.

    Raises NetworkError where it cannot be written.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    try:
        networks = folder.parent.parent
        clear(networks)
        part = Path(tempfile.mkdtemp(prefix=PREFIX, dir=networks))
        try:
            part.chmod(0o755)
            for name, data in files.items():
                (part / name).write_bytes(data)
            for name, record in {**records, "contract": {**contract, "files": digests}}.items():
                (part / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            folder.parent.mkdir(exist_ok=True)
            os.rename(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise NetworkError(f"{folder} cannot be written: {error.strerror or error}") from error


PREFIX = ".learning-"


def clear(networks: Path) -> None:
    """Delete what a process that was killed left behind; only one writes at a time, see `alone`."""
    for left in networks.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
