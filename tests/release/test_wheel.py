"""The wheel holds the service and its networks under one name, and nothing in it expects this repository's names."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app import __version__
from tests.conftest import CHELSEA, ROOT, environment

MOST_BYTES = 90 * 1000 * 1000
"""PyPI takes files of up to 100 MB."""

OURS = re.compile(r"(app|training)(\.|$)")


def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


def sources(wheel: Path) -> dict[str, str]:
    archive = zipfile.ZipFile(wheel)
    return {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}


def imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def texts(source: str) -> list[str]:
    """Every string of a module, docstrings and messages included."""
    nodes = ast.walk(ast.parse(source))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_it_claims_one_name(wheel):
    assert {name.split("/")[0] for name in names(wheel)} == {"catscope", f"catscope-{__version__}.dist-info"}


def test_every_module_of_the_service_and_of_training_is_in_it(wheel):
    expected = {f"catscope/{path.relative_to(ROOT / 'app').as_posix()}" for path in (ROOT / "app").rglob("*.py")}
    expected |= {f"catscope/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "training").rglob("*.py")}
    assert set(sources(wheel)) == expected


def test_every_file_that_modules_read_is_in_it(wheel):
    read = [*(ROOT / "app" / "web").rglob("*"), ROOT / "training" / "data" / "mislabelled.csv"]
    expected = {path.relative_to(ROOT).as_posix().replace("app/web", "web") for path in read if path.is_file()}
    assert {f"catscope/{name}" for name in expected} <= set(names(wheel))


@pytest.mark.parametrize("network", ["cat", "tutorial", "dense"])
def test_every_file_of_a_network_but_its_pictures_is_in_it(wheel, network):
    files = {path.name for path in (ROOT / "model" / network).iterdir() if path.is_file() and path.suffix != ".png"}
    assert {f"catscope/model/{network}/{name}" for name in files} <= set(names(wheel))


def test_no_module_imports_the_names_of_the_repository(wheel):
    assert {
        name: found for name, source in sources(wheel).items() if (found := list(filter(OURS.match, imported(source))))
    } == {}


def test_no_command_or_message_has_the_names_of_the_repository(wheel):
    told = re.compile(r"-m (app|training)\b|^(app|training)\.\w")
    assert {
        name: found for name, source in sources(wheel).items() if (found := list(filter(told.search, texts(source))))
    } == {}


def test_the_repository_has_what_the_last_two_tests_look_for():
    source = (ROOT / "app" / "teach" / "jobs.py").read_text()
    assert any(map(OURS.match, imported(source)))
    assert "app.teach.worker" in texts(source)


def test_it_is_smaller_than_the_package_index_takes(wheel):
    assert wheel.stat().st_size <= MOST_BYTES


def test_it_says_whose_it_is_and_under_which_licence(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"catscope-{__version__}.dist-info/METADATA").decode()
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nLicense-File: LICENSE\n" in metadata


def test_building_it_twice_gives_the_same_bytes(wheel, tmp_path):
    from tests.release.conftest import build

    build(ROOT, tmp_path)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def catscope(unpacked: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m catscope` in a folder, whose own packages come before the wheel's."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment() | {"PYTHONPATH": f"{folder}:{unpacked}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_classifies_where_other_packages_have_the_names_of_the_repository(unpacked, elsewhere):
    result = catscope(unpacked, elsewhere, "catscope", "classify", str(CHELSEA), "--json")
    assert json.loads(result.stdout)["label"] == "cat", result.stderr


def test_it_finds_its_own_networks(unpacked, elsewhere):
    result = catscope(unpacked, elsewhere, "catscope", "inspect", "tutorial")
    assert str(unpacked / "catscope" / "model" / "tutorial") in result.stdout


def test_help_names_the_command_that_was_typed(unpacked, elsewhere):
    assert catscope(unpacked, elsewhere, "catscope", "--help").stdout.startswith("usage: python -m catscope ")
    trained = catscope(unpacked, elsewhere, "catscope.training.train", "--help").stdout
    assert trained.startswith("usage: python -m catscope.training.train ")


def test_training_reads_a_brought_network_in_a_process_of_its_own(unpacked, elsewhere, tmp_path):
    """The process is started as a module, which only its right name finds."""
    code = "import sys; from pathlib import Path; from catscope.training.importing import archive; archive.read(Path(sys.argv[1]))"
    broken = tmp_path / "broken.keras"
    zipfile.ZipFile(broken, "w").close()
    command = [sys.executable, "-c", code, str(broken)]
    result = subprocess.run(
        command,
        cwd=elsewhere,
        env=environment() | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "catscope.training.errors.TrainingError" in result.stderr
    assert "its reader ended with status" not in result.stderr
