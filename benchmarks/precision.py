"""What each step towards integers costs in accuracy and brings in time: the choice of `training.integers.twin`'s recipe.

    .peers/runtimes/bin/python -m benchmarks.precision --out benchmarks/precision.json

Nothing here sees a validation set: ranges come from 256 photos that trained the network, and the answers are compared on
the two twentieths of the photos that were held out of training (`training.data.splits.split_of`). Compared are log odds of
a cat with those of the float network, where a wrong answer is too rare to count: their standard deviation and mean over
photos whose log odds are between -6 and 6, and how many answers change sides at a probability of 0.5. `--layers` also
quantizes one layer at a time. Milliseconds a photo on one thread, the recipes in turns.
"""

import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import onnx

from benchmarks import engines
from benchmarks.runtimes import arguments, held_out, measured_on, trained
from training.integers.layers import layers
from training.integers.observe import observe
from training.integers.twin import Recipe, recipe, twin

ROUNDS = 25
PHOTOS = 1000
UNDECIDED = 6.0
"""Log odds beyond which a photo tells nothing: its probability is 0.998."""

SINGLE_PHOTOS = 80  # with one layer at a time, of those whose log odds are within 5
EXACT = {"session_x64quantprecision": "1"}  # ONNX Runtime's own way out of the overflow: weights as unsigned integers


def main() -> None:
    """Make the models, compare their answers, print and write what came of it."""
    parser = arguments(__doc__)
    parser.add_argument("--layers", action="store_true", help="also quantize each layer on its own")
    options = parser.parse_args()
    photos, source = trained(options), engines.SOURCE / "model.onnx"
    held_out_photos = held_out(options, PHOTOS)
    model = onnx.load(source)
    seen = observe(model, photos)
    usual, halved = engines.usual(source, photos), engines.usual(source, photos, halved=True)
    found = list(layers(model))
    plain = Recipe(paired=False, corrected=False, fitted=False)
    paired = Recipe(corrected=False, fitted=False)
    trials = {
        "float": (model, {}),
        "usual recipe": (usual, {}),
        "usual recipe, session.x64quantprecision=1": (usual, EXACT),
        "usual recipe, weights of 7 bits": (halved, {}),
        "our graph, that recipe": (twin(model, seen, plain), {}),
        "and pairs that fit": (twin(model, seen, paired), {}),
        "and biases corrected": (twin(model, seen, Recipe(fitted=False)), {}),
        "and ranges fitted": (twin(model, seen, Recipe()), {}),
        "and the first convolutions in float: as served": (twin(model, seen, recipe(model, seen)), {}),
    }
    for count in (1, 2, 6, 9, 12):
        first = Recipe(floats=frozenset(found[:count]))
        trials[f"and the first {count} layer{'s' * (count > 1)} in float"] = (twin(model, seen, first), {})
    files = {name: (engines.bare(made).SerializeToString(), entries) for name, (made, entries) in trials.items()}  # type: ignore[attr-defined]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        odds = {name: log_odds(pool, file, held_out_photos) for name, file in files.items()}
        single = one_at_a_time(pool, seen, held_out_photos, odds["float"]) if options.layers else None
    times = measured(files, held_out_photos[:1].astype(np.float32))
    result = measured_on() | {
        "rounds": ROUNDS,
        "ranges_from_photos": len(photos),
        "photos": len(held_out_photos),
        "trials": {},
    }
    for name in trials:
        result["trials"][name] = compared(odds[name], odds["float"]) | {
            "ms": round(times[name], 2),
            "of_float": round(times["float"] / times[name], 3),
        }
    previous = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    result["layers"] = single if options.layers else previous.get("layers")
    print(table(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def log_odds(pool: ProcessPoolExecutor, file: tuple[bytes, dict[str, str]], photos: np.ndarray) -> np.ndarray:
    """Of a cat, for each photo; two processes share them."""
    parts = np.array_split(photos, 2)
    values = np.concatenate(list(pool.map(_answers, [file] * len(parts), parts)))
    values = np.clip(values, 1e-7, 1 - 1e-7)
    return np.log(values / (1 - values))


def _answers(file: tuple[bytes, dict[str, str]], photos: np.ndarray) -> list[float]:
    run = engines.onnxruntime(file[0], 1, **file[1])
    return [run(photo[np.newaxis].astype(np.float32)) for photo in photos]


def compared(odds: np.ndarray, true: np.ndarray) -> dict[str, float | int]:
    """How far log odds lie from those of the float network."""
    difference = (odds - true)[np.abs(true) < UNDECIDED]
    return {
        "deviation": round(float(difference.std()), 4),
        "mean": round(float(difference.mean()), 4),
        "changed_sides": int(((odds > 0) != (true > 0)).sum()),
    }


def one_at_a_time(pool: ProcessPoolExecutor, seen: dict, held_out_photos: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """The deviation that each layer causes when it alone computes with integers, the largest first."""
    model = onnx.load(engines.SOURCE / "model.onnx")
    names, near = list(layers(model)), np.flatnonzero(np.abs(true) < UNDECIDED - 1)[:SINGLE_PHOTOS]
    values = {}
    for name in names:
        if name not in engines.HEAD:
            made = engines.bare(twin(model, seen, Recipe(frozenset(names) - {name})))
            file = (made.SerializeToString(), {})  # type: ignore[attr-defined]
            values[name] = round(float((log_odds(pool, file, held_out_photos[near]) - true[near]).std()), 4)
    return dict(sorted(values.items(), key=lambda one: -one[1]))


def measured(files: dict[str, tuple[bytes, dict[str, str]]], tensor: np.ndarray) -> dict[str, float]:
    """Median milliseconds a photo."""
    runs = {name: engines.onnxruntime(model, 1, **entries) for name, (model, entries) in files.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            run(tensor)
            began = time.perf_counter()
            run(tensor)
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) * 1000 for name, values in times.items()}


def table(result: dict) -> str:
    """The result as a Markdown table."""
    lines = [
        "| recipe | deviation of the log odds | mean | changed answers | ms | speedup |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in result["trials"].items():
        shown = f"{one['deviation']:.3f} | {one['mean']:+.3f} | {one['changed_sides']} of {result['photos']}"
        lines.append(f"| {name} | {shown} | {one['ms']:.1f} | {one['of_float']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
