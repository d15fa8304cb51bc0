"""What is installed is what was tested: every package is pinned, with the digests of its files."""

import re

import pytest

from tests.conftest import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.promise("P65")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_pinned_to_a_version_and_to_the_digests_of_its_files(lock):
    text = re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.M).removeprefix(
        "-c serve.txt\n"
    )  # of which all this holds, too
    packages = re.split(r"\n(?=\S)", text.strip())
    assert packages
    for package in packages:
        assert re.match(r"[\w.\[\],-]+==[\w.!+]+( ; [^\\\n]+)? \\\n", package), package[:100]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package[:100]


@pytest.mark.promise("P65")
def test_the_service_is_installed_with_these_digests_only():
    serve = re.search(r"^\$\(VENV\)/\.serve: .*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    image = re.search(r"^RUN pip install ((?:.*\\\n)*.*)", (ROOT / "Dockerfile").read_text(), re.M)[1]
    for command in (serve, image):
        assert "--require-hashes" in command
