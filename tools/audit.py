"""Known vulnerabilities of the pinned packages, less those in requirements/audit-exceptions.toml, are printed.

    build/audit/bin/python -m tools.audit

pip-audit asks PyPI about each package. The exit status is 1 where something has to be done, and 2 where the database was not
reached, since nothing is known then.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parent.parent / "requirements"
EXCEPTIONS = REQUIREMENTS / "audit-exceptions.toml"
PINNED = ("serve", "postgresql", "tracing", "signed", "train", "dev", "ray")


@dataclass(frozen=True)
class Exempt:
    """A vulnerability that is known and does no harm here, for a while: why, and the last day that this holds."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True)
class Found:
    """A vulnerability of a package: all of its names, and the versions without it."""

    package: str
    version: str
    names: tuple[str, ...]
    fixed_in: tuple[str, ...]


def main() -> int:
    """Audit every file of PINNED; returns the exit status."""
    try:
        exempt = exceptions(EXCEPTIONS.read_text())
    except ValueError as error:
        print(f"error: {EXCEPTIONS.name}: {error}", file=sys.stderr)
        return 1
    found: set[Found] = set()
    for name in PINNED:
        report = audited(REQUIREMENTS / f"{name}.txt")
        if missing := unknown(report):
            print(f"error: nothing is known of {', '.join(missing[:5])} ...: is the database reached?", file=sys.stderr)
            return 2
        found |= set(vulnerabilities(report))
    complaints = judged(found, exempt, date.today())
    print("\n".join(complaints) or f"no known vulnerability; {len(exempt)} exceptions")
    return 1 if complaints else 0


def audited(requirements: Path) -> dict[str, Any]:
    """pip-audit's report on a file of pinned packages."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json"]
    command += ["-r", str(requirements)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  our own arguments
    if not result.stdout.strip():
        sys.exit(f"error: pip-audit says: {result.stderr.strip()}")
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def exceptions(text: str) -> list[Exempt]:
    """The exceptions of a TOML file. Raises ValueError, which says what is wrong with which."""
    document = tomllib.loads(text)
    if unknown := set(document) - {"exception"}:
        raise ValueError(f"{sorted(unknown)[0]} is not known; it is a list called exception")
    found: list[Exempt] = []
    for number, entry in enumerate(document.get("exception", []), start=1):
        if set(entry) != {"id", "package", "reason", "until"}:
            raise ValueError(f"exception {number} needs an id, a package, a reason and until, and nothing else")
        one = Exempt(**entry)
        if type(one.until) is not date:
            raise ValueError(f"until of {one.id} is no day such as 2027-01-31, without quotes")
        if len(one.reason.split()) < 4:
            raise ValueError(f"the reason of {one.id} says too little")
        if one.id in [other.id for other in found]:
            raise ValueError(f"{one.id} is there twice")
        found.append(one)
    return found


def unknown(report: dict[str, Any]) -> list[str]:
    """The packages that pip-audit could not look up."""
    return [dependency["name"] for dependency in report["dependencies"] if "skip_reason" in dependency]


def vulnerabilities(report: dict[str, Any]) -> Iterable[Found]:
    """What pip-audit found."""
    for dependency in report["dependencies"]:
        for entry in dependency.get("vulns", []):
            names = (entry["id"], *entry.get("aliases", []))
            yield Found(dependency["name"], dependency["version"], names, tuple(entry.get("fix_versions", [])))


def judged(found: Iterable[Found], exempt: Iterable[Exempt], today: date) -> list[str]:
    """A line for each vulnerability that is no exception, and for each exception that has expired or is not needed."""
    lines, needed = [], set()
    by_name = {one.id: one for one in exempt}
    for vulnerability in sorted(found, key=lambda one: (one.package, one.names)):
        names = [name for name in vulnerability.names if name in by_name and by_name[name].package == vulnerability.package]
        needed |= set(names)
        if not any(by_name[name].until >= today for name in names):
            fixed = f"fixed in {', '.join(vulnerability.fixed_in)}" if vulnerability.fixed_in else "not fixed yet"
            lines.append(f"{vulnerability.package} {vulnerability.version}: {', '.join(vulnerability.names)}, {fixed}")
    for one in by_name.values():
        if one.until < today:
            lines.append(f"the exception {one.id} expired on {one.until}: {one.reason}")
        elif one.id not in needed:
            lines.append(f"the exception {one.id} is no longer needed: delete it")
    return lines


if __name__ == "__main__":
    sys.exit(main())
