"""What a result was measured on and with: the processor, those of its instructions that matter here, and the packages."""

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


def machine() -> str:
    """The cores that this process may use, the processor's name, and Python's version."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {_first('model name')}, {platform.machine()}, Python {platform.python_version()}"


def described() -> dict:
    """The same as part of a result, and which instructions of INSTRUCTIONS the processor has."""
    flags = _first("flags").split()
    return {"machine": machine(), "instructions": [name for name in INSTRUCTIONS if name in flags]}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package."""
    return {name: metadata.version(name) for name in packages}


def _first(key: str) -> str:
    """The first value of /proc/cpuinfo of that name, or nothing; cores seldom differ."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []  # other systems have none
    return next((line.split(": ")[1] for line in lines if line.startswith(f"{key}\t") and ": " in line), "unknown")
