"""Every page of documentation, with the commands and answers that it shows."""

import re
import subprocess
from functools import cache

from tests.conftest import ROOT

COMMAND = re.compile(r"^ *\$ (.+)$", re.M)
ANSWER = re.compile(r"^\$ (curl [^\n]+)\n```\n\n```json\n(.*?)```", re.M | re.S)


@cache
def pages() -> dict[str, str]:
    """The text of every Markdown file that git tracks, by its path."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return {name: (ROOT / name).read_text() for name in listed if (ROOT / name).is_file()}


def commands() -> dict[str, str]:
    """Every command that a page shows, in the order of the pages, and the first page that shows it."""
    commands_by_text: dict[str, str] = {}
    for name in sorted(pages(), key=lambda name: (name.count("/"), name)):
        for command in COMMAND.findall(pages()[name]):
            commands_by_text.setdefault(command, name)
    return commands_by_text


def plain(name: str) -> str:
    """A page's text on one line."""
    return " ".join(pages()[name].split())
