"""A file holds one noun or one step, and can be read in one sitting."""

import pytest

from tests.conftest import ROOT

FOLDERS = ("app", "training", "tests", "benchmarks", "deploy", "examples")
MAX_LINES = 350


@pytest.mark.parametrize("kind", ["py", "js", "mjs"])
def test_no_file_has_more_lines_than_can_be_read_in_one_sitting(kind):
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob(f"*.{kind}")]
    assert files
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
