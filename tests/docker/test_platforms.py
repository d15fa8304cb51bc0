"""The image can be built for arm64: all of its packages exist for it, with the pinned hashes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.fresh

GLIBC = (17, 26, 27, 28, 31)
"""Minor versions of the glibc 2 that wheels are built for; Debian 12 has 36."""


def test_every_package_of_the_image_exists_as_a_wheel_for_arm64(tmp_path: Path) -> None:
    python = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert python
    platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in GLIBC)]
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
    command += ["--ignore-installed", "--no-deps", "--only-binary=:all:", "--implementation=cp", f"--report={report}"]
    command += [f"--python-version={python[1]}", f"--target={tmp_path / 'target'}"]
    command += [f"--platform={platform}_aarch64" for platform in platforms]
    command += ["--require-hashes", "--requirement", str(ROOT / "requirements" / "serve.txt")]
    subprocess.run(command, check=True, timeout=300)
    files = [package["download_info"]["url"].rpartition("/")[2] for package in json.loads(report.read_text())["install"]]
    assert any("aarch64" in file for file in files)
    assert len(files) > 20


def test_nothing_in_the_dockerfile_is_specific_to_one_processor() -> None:
    assert not re.search(r"amd64|arm64|x86|aarch|--platform|\.whl", (ROOT / "Dockerfile").read_text())
