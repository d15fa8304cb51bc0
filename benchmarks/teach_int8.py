"""Do the twins in integers of networks that are taught say what these say, and how fast are they taught and do they answer?

    python -m benchmarks.teach_int8 --data photos --manifests manifest.csv manifest2.csv --out benchmarks/teach_int8.json

The tasks of benchmarks.teach, 5 and 20 photos a class, drawn anew for each of --draws. Each is taught twice in turns, with
and without the twin. Then other photos of the classes and photos of no class are answered in float, by the twin alone and as
`auto` does, which leaves close verdicts to the network; in turns, from the bytes of a photo to the answer, on one thread.
Times are the processor's, which other work on the machine changes less than the clock's.
A run that is in --out already is not repeated, so an interrupted benchmark goes on.
"""

import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.inference.decode import MAX_PIXELS
from app.inference.networks import contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.predict import PredictOptions, predict
from app.teach import folder, twin
from app.teach.photos import Eyes, File, look
from app.teach.teach import teach
from benchmarks import draws
from benchmarks.machine import machine
from benchmarks.own_classes import by_kind
from benchmarks.teach import COUNTS, TASKS, Labelled, drawn, others

PRECISIONS = ("float32", "int8", "auto")
STRANGERS = 50
"""Photos of no class, of those of benchmarks.teach."""


def main() -> None:
    """Read the command line, measure, print and write the table."""
    options = draws.parser(__doc__, "teach_int8", 1)
    arguments = options.parse_args()
    kinds = by_kind(arguments.manifests, arguments.data)
    strangers = [path for paths in others(kinds, arguments.data).values() for path in paths][:: 250 // STRANGERS]
    result: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": []}
    result["machine"] = machine()
    done = {(run["task"], run["photos"], run["draw"]) for run in result["runs"]}
    start = OnnxNetwork(contract.load(Path("model/cat")))
    for draw in range(arguments.draws):
        for task, classes in TASKS.items():
            for count in reversed(COUNTS):
                if (task, count, draw) not in done:
                    learn, held_out = drawn(kinds, classes, f"{draw} {task}", count)
                    run = {"task": task, "photos": count, "draw": draw}
                    run |= measure(list(classes), learn, [*held_out, *((path, -1) for path in strangers)], start)
                    print(json.dumps(run), flush=True)
                    result["runs"].append(run)
                    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def measure(classes: list[str], learn: Labelled, held_out: Labelled, start: OnnxNetwork) -> dict[str, Any]:
    """One run. Photos with the label -1 are of no class."""
    with tempfile.TemporaryDirectory() as temporary:
        seconds = {}
        for name, eyes in (("float", None), ("both", twin.eyes(start.contract))):
            began = time.process_time()
            made = taught(classes, learn, start, eyes, Path(temporary) / name)
            seconds[name] = time.process_time() - began
        if made.contract is None:
            return {"refused": made.why, "sets": made.sets, "seconds": seconds}
        network = OnnxNetwork(contract.load(Path(temporary) / "both"), "auto")
    assert network.integers is not None
    network.integers.preferred = True  # whatever this CPU can
    counts = dict.fromkeys(("answered", "own", "changed", "left", "changed_alone", "opposite_alone"), 0)
    right, spent = dict.fromkeys(PRECISIONS, 0), dict.fromkeys(PRECISIONS, 0.0)
    for path, label in held_out:
        photo, answers = path.read_bytes(), {}
        for precision in PRECISIONS:
            began = time.process_time()
            answers[precision] = predict(photo, network, PredictOptions("none", precision=precision))
            spent[precision] += time.process_time() - began
            probabilities = list(answers[precision].probabilities.values())
            right[precision] += int(np.argmax(probabilities)) == label
        own, alone, auto = (answers[name].verdict for name in PRECISIONS)
        for name, happened in (
            ("answered", True),
            ("own", label >= 0),
            ("changed", auto != own),
            ("left", answers["auto"].precision == "float32"),
            ("changed_alone", alone != own),
            ("opposite_alone", alone != own and {alone, own} <= set(classes)),
        ):
            counts[name] += happened
    return {
        "margin": made.contract["margin"],
        "sets": made.sets,
        "seconds": seconds,
        "spent": spent,
        "right": right,
    } | counts


def taught(classes: list[str], photos: Labelled, start: OnnxNetwork, eyes: Eyes | None, out: Path) -> twin.Twin:
    """Teach the photos, and write the network."""
    files: dict[str, list[File]] = {name: [] for name in classes}
    for path, label in photos:
        files[classes[label]].append(File(str(path), partial(Path.read_bytes, path)))
    return folder.write(teach(tuple(classes), list(look(files, start, MAX_PIXELS, 1, eyes))), start.contract, out)


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each task and number of photos a class the sums of its draws; `written` are those that got a twin."""
    rows = []
    for task in TASKS:
        for count in COUNTS:
            chosen = [run for run in runs if (run["task"], run["photos"]) == (task, count)]
            if not chosen:
                continue
            written = [run for run in chosen if "refused" not in run]
            row: dict[str, Any] = {"task": task, "photos": count, "draws": len(chosen), "written": len(written)}
            for name in ("answered", "own", "changed", "left", "changed_alone", "opposite_alone"):
                row[name] = sum(run[name] for run in written)
            row["right"] = {name: sum(run["right"][name] for run in written) for name in PRECISIONS}
            spent = {name: sum(run["spent"][name] for run in written) for name in PRECISIONS}
            row["times_as_fast"] = {name: round(spent["float32"] / spent[name], 2) for name in PRECISIONS if written}
            seconds = {name: sum(run["seconds"][name] for run in chosen) for name in ("float", "both")}
            row["teaching"] = round(seconds["both"] / seconds["float"], 2)
            rows.append(row)
    return rows


def table(result: dict[str, Any]) -> str:
    """A Markdown table."""
    lines = [
        "| task | photos a class | twins | photos | right, in float | right | verdicts differ | left to it | times as fast "
        "| alone: differ | opposite | times as fast | teaching takes |",
        "|---" * 13 + "|",
    ]
    for row in summary(result["runs"]):
        fast = row["times_as_fast"] or dict.fromkeys(PRECISIONS, "")
        cells = [row["task"], row["photos"], f"{row['written']} of {row['draws']}", row["answered"]]
        cells += [row["right"]["float32"], row["right"]["auto"], row["changed"], row["left"], fast["auto"]]
        cells += [row["changed_alone"], row["opposite_alone"], fast["int8"], row["teaching"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
