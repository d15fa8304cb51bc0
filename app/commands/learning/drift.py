"""The answers that the store kept come in; a table of how they changed from week to week goes out."""

import argparse
import json
from dataclasses import asdict

from app.commands.correct import opened
from app.commands.inspect import table
from app.corrections.drift import Change, Drift, drift
from app.settings import Settings
from app.teach.figures import Figure


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the report and return the exit status. Raises ValueError without a store, and for one that cannot be used."""
    with opened(settings) as store:
        found = drift(store.all(network=arguments.network))
    if arguments.json:
        print(json.dumps(asdict(found), indent=1))
    elif found.weeks:
        print(_text(found))
    else:
        of = f" of {arguments.network}" if arguments.network else ""
        print(f"No answers{of} are kept. CATSCOPE_KEEP says which ones are; it is {settings.keep}.")
    return 0


def _text(found: Drift) -> str:
    verdicts = sorted({verdict for week in found.weeks for verdict in week.verdicts})
    rows: list[tuple[str, ...]] = [("week", "kept", "mean confidence", *verdicts, "corrected")]
    for week in found.weeks:
        of_verdicts = [f"{week.verdicts[name].value:.1%}" if name in week.verdicts else "0.0%" for name in verdicts]
        rows.append(
            (week.week, str(week.kept), _with_interval(week.confidence), *of_verdicts, f"{week.corrected.value:.1%}")
        )
    lines = [
        "Of the answers that were kept (corrected, and unsure if CATSCOPE_KEEP says so), not of all:",
        "",
        table(rows),
        "",
    ]
    if found.changes:
        before, after = found.weeks[-2:]
        lines.append(f"From {before.week} to {after.week}, with 95 % intervals:")
        lines += [f"  {_sentence(change)}" for change in found.changes]
    else:
        lines.append("One week says nothing about change.")
    return "\n".join(lines)


def _with_interval(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _sentence(change: Change) -> str:
    said = "changed" if change.certain else "no change that these answers prove"
    return (
        f"{change.what}: {change.before:.3f} to {change.after:.3f}, {change.difference:+.3f} "
        f"({change.low:+.3f} to {change.high:+.3f}): {said}"
    )
