"""A tag comes in, what changed in that release goes out; unless code, changelog and citation all name it, nothing does.

.venv/bin/python -m tools.release v0.2.0
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Print the notes of the release that the command line names."""
    try:
        print(notes(sys.argv[1], ROOT))
    except ValueError as error:
        sys.exit(f"error: {error}")


def notes(tag: str, root: Path) -> str:
    """The section of the changelog. Raises ValueError with what has to be done first."""
    version = tag.removeprefix("v")
    (ours,) = re.findall(r'^__version__ = "(.+)"$', (root / "app" / "__init__.py").read_text(), re.M)
    if tag != f"v{ours}":
        raise ValueError(f"the tag is {tag}, and app/__init__.py has {ours}")
    changelog = (root / "CHANGELOG.md").read_text()
    section = re.search(rf"^## \[{re.escape(version)}\] - (\S+)\n\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if section is None:
        raise ValueError(f"CHANGELOG.md has no section [{version}] with its day")
    day, changes = section.groups()
    citation = (root / "CITATION.cff").read_text()
    if f"\nversion: {version}\n" not in citation or f'\ndate-released: "{day}"\n' not in citation:
        raise ValueError(f"CITATION.cff names another release than {version} of {day}")
    return changes.strip()


if __name__ == "__main__":
    main()
