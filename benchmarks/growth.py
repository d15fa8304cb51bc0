"""How work grows with the photo's size (0.1 to 50 megapixels), the stages requested and the batch: times, slopes, a plot.

    .venv/bin/python -m benchmarks.growth --out benchmarks/growth.json

Times are those of `predict` in this process, on one thread, with the points in turns. On a log-log scale, linear growth has
the slope 1. The network costs the same whatever a photo's size, so the slope over the largest photos, where it matters
least, is given in addition to the slope over all. The plot is next to the JSON.

Batches go through model.onnx, whose first dimension is free, on one thread and on two; for comparison, two threads take the
same number of single photos one by one, as the service does.
"""

import argparse
import io
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import skimage.data
from PIL import Image

from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.runtime import import_onnxruntime
from app.inference.predict import PredictOptions, predict

ROOT = Path(__file__).parent.parent
MEGAPIXELS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 49.9)
LARGE = 5.0
"""Megapixels from which on the slope of the largest photos is taken."""

BATCHES = (1, 2, 4, 8, 16, 32)
ROUNDS = {"size": 5, "stages": 25, "batch": 7}
WAYS = {
    "one_thread": "a batch, one thread",
    "two_threads": "a batch, two threads",
    "in_parallel": "single photos, two at a time",
}

Points = dict[float, float]
"""What grows -> median milliseconds."""

Key = TypeVar("Key")


def main() -> None:
    """Measure all three, print, plot and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    sizes = {kind: photos(kind) for kind in ("JPEG", "PNG")}
    results = {kind: by_size(network, made) for kind, made in sizes.items()}
    stages = by_stages(network, sizes["JPEG"][0.2])
    batches = by_batch()
    result: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}", "rounds": ROUNDS}
    result["versions"] = {"onnxruntime": import_onnxruntime().__version__, "pillow": Image.__version__}
    for kind, points in results.items():
        large = {size: ms for size, ms in points.items() if size >= LARGE}
        result[kind] = {"ms": points, "slope": slope(points), f"slope_from_{LARGE:.0f}_megapixels": slope(large)}
    result["stages"] = {"ms": stages, "slope": slope(stages)}
    result["batch"] = {way: {"ms": points, "slope": slope(points)} for way, points in batches.items()}
    print(table(result))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")
        plot(result, out.with_suffix(".png"))


def photos(kind: str) -> dict[float, bytes]:
    """One photograph at every size, grainy, since enlarging it left it without detail."""
    original = Image.open(Path(skimage.data.__file__).parent / "chelsea.png").convert("RGB")
    made = {}
    for size in MEGAPIXELS:
        width, height = round((size * 1e6 * 4 / 3) ** 0.5), round((size * 1e6 * 3 / 4) ** 0.5)
        noise = Image.effect_noise((width, height), 25.0)
        larger = original.resize((width, height), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        settings = {"quality": 90} if kind == "JPEG" else {"compress_level": 1}
        Image.blend(larger, Image.merge("RGB", [noise] * 3), 0.1).save(out, kind, **settings)
        made[size] = out.getvalue()
    return made


def by_size(network: OnnxNetwork, made: dict[float, bytes]) -> Points:
    """Milliseconds of an answer without feature maps, for each number of megapixels."""
    options = PredictOptions("none")
    return in_turns({size: lambda data=data: predict(data, network, options) for size, data in made.items()}, "size")  # type: ignore[misc]


def by_stages(network: OnnxNetwork, data: bytes) -> Points:
    """Milliseconds of an answer with thumbnails, for 1 stage to all; which come first was drawn once."""
    names = [stage.name for stage in network.contract.stages]
    random.Random(3).shuffle(names)  # noqa: S311  nothing secret
    works: dict[float, Callable[[], object]] = {}
    for count in range(1, len(names) + 1):
        options = PredictOptions(stages=tuple(names[:count]))
        works[count] = lambda options=options: predict(data, network, options)  # type: ignore[misc]
    return in_turns(works, "stages")


def by_batch() -> dict[str, Points]:
    """Milliseconds until all photos of a batch are answered, each way of WAYS."""
    one, two = (_session(threads) for threads in (1, 2))
    shape = (max(BATCHES), *load(ROOT / "model" / "cat").input_shape)
    pixels = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)

    def alone(index: int) -> Any:
        return one.run(["probabilities"], {"image": pixels[index : index + 1]})

    with ThreadPoolExecutor(2) as pool:
        works: dict[tuple[str, int], Callable[[], object]] = {}
        for size in BATCHES:
            feed = {"image": pixels[:size]}
            works["one_thread", size] = lambda feed=feed: one.run(["probabilities"], feed)  # type: ignore[misc]
            works["two_threads", size] = lambda feed=feed: two.run(["probabilities"], feed)  # type: ignore[misc]
            works["in_parallel", size] = lambda size=size: list(pool.map(alone, range(size)))  # type: ignore[misc]
        times = in_turns(works, "batch")
    return {way: {size: times[way, size] for size in BATCHES} for way in WAYS}


def _session(threads: int) -> Any:
    """A session as the service's, but for the threads; those that wait for work do not spin while the other ways run."""
    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return runtime.InferenceSession(ROOT / "model" / "cat" / "model.onnx", options, providers=["CPUExecutionProvider"])


def in_turns(works: dict[Key, Callable[[], object]], rounds: str) -> dict[Key, float]:
    """Median milliseconds of each piece of work; all of them in every round, after one that warms up."""
    seconds: dict[Key, list[float]] = {key: [] for key in works}
    for turn in range(ROUNDS[rounds] + 1):
        for key, work in works.items():
            began = time.perf_counter()
            work()
            if turn:
                seconds[key].append(time.perf_counter() - began)
    return {key: round(statistics.median(values) * 1000, 2) for key, values in seconds.items()}


def slope(points: Points) -> float:
    """Of the line through the logarithms: 1 means that work grows as its cause does."""
    x, y = np.log(list(points)), np.log(list(points.values()))
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def table(result: dict) -> str:
    """The result as Markdown tables; also one that was read from JSON, where numbers that name things are texts."""
    lines = ["| what grows | from | to | slope |", "|---|---|---|---|"]

    def line(what: str, unit: str, part: dict, shown: str) -> None:
        (first, least), *_, (last, most) = part["ms"].items()
        ends = f"{float(first):g} {unit}: {least:.1f} ms | {float(last):g} {unit}: {most:.1f} ms"
        lines.append(f"| {what} | {ends} | {shown} |")

    for kind in ("JPEG", "PNG"):
        steep = result[kind][f"slope_from_{LARGE:.0f}_megapixels"]
        line(f"size of a {kind}", "megapixels", result[kind], f"{result[kind]['slope']}; {steep} from {LARGE:g} megapixels")
    line("stages with thumbnails", "stages", result["stages"], str(result["stages"]["slope"]))
    for way, what in WAYS.items():
        line(what, "photos", result["batch"][way], str(result["batch"][way]["slope"]))
    lines += [
        "",
        "| photos/s | " + " | ".join(f"{size} photos" for size in BATCHES) + " |",
        "|---" * (len(BATCHES) + 1) + "|",
    ]
    for way, what in WAYS.items():
        rates = (f"{1000 * int(size) / ms:.0f}" for size, ms in result["batch"][way]["ms"].items())
        lines.append(f"| {what} | " + " | ".join(rates) + " |")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Draw everything into one small PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    figure, (size, stages, batch, rate) = pyplot.subplots(1, 4, figsize=(15, 3.8), dpi=80, layout="constrained")
    for kind in ("JPEG", "PNG"):
        label = f"{kind}, slope {result[kind][f'slope_from_{LARGE:.0f}_megapixels']} from {LARGE:g} megapixels"
        size.plot(*_axes(result[kind]["ms"]), "o-", label=label)
    stages.plot(*_axes(result["stages"]["ms"]), "o-", label=f"with thumbnails, slope {result['stages']['slope']}")
    for way, what in WAYS.items():
        x, y = _axes(result["batch"][way]["ms"])
        batch.plot(x, y, "o-", label=f"{what}, slope {result['batch'][way]['slope']}")
        rate.plot(x, [1000 * count / ms for count, ms in zip(x, y, strict=True)], "o-", label=what)
    captions = ("megapixels", "stages asked for", "photos in a batch", "photos in a batch")
    for axes, caption in zip((size, stages, batch, rate), captions, strict=True):
        axes.set(xlabel=caption, ylabel="photos a second" if axes is rate else "milliseconds")
        if axes in (size, batch):
            axes.set(xscale="log", yscale="log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left" if axes is size else "lower right")
    figure.savefig(path)


def _axes(points: Points) -> tuple[list[float], list[float]]:
    return list(points), list(points.values())


if __name__ == "__main__":
    main()
