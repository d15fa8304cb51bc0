"""Whether a second JPEG decoder would pay off: other decoders compared with Pillow on the same photos.

    .peers/runtimes/bin/python -m benchmarks.decoders --out benchmarks/decoders.json

The environment is that of benchmarks/runtimes.py. Each decoder decodes a photo and reduces it to the network's
size on one thread, in turns; web and phone photos are those of benchmarks/photos.py. Pixels and probabilities are compared
with the service's, on the same photos and, if `--data` contains them, on those of val-wild. PyTurboJPEG does not include
libjpeg-turbo and from version 2 on needs its version 3, which Debian 12 does not have; `--libturbojpeg` gives its path if it
is not found. simplejpeg includes the same library.
"""

import argparse
import functools
import io
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from app.inference.decode import OVERSAMPLING, decode
from app.inference.networks.contract import load
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.tensor import to_pixels
from benchmarks import photos

ROOT = Path(__file__).parent.parent
SIDE = load(ROOT / "model" / "cat").input_shape[0]
ENOUGH = OVERSAMPLING * SIDE
ROUNDS = {"web": 60, "phone": 12}
OURS = "Pillow, draft (ours)"
WILD = 180
PACKAGES = ("pillow", "simplejpeg", "PyTurboJPEG", "opencv-python-headless", "pyvips", "pyvips-binary", "onnxruntime")

Way = Callable[[bytes], np.ndarray]
"""A JPEG's bytes -> (SIDE, SIDE, 3) uint8, RGB."""


def main() -> None:
    """Measure every decoder, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("photos"))
    parser.add_argument("--libturbojpeg", help="path of libturbojpeg.so.0")
    arguments = parser.parse_args()
    os.environ["VIPS_CONCURRENCY"] = "1"  # read when pyvips is first imported
    try:
        decoders, failed = ways(arguments.libturbojpeg)
    except ImportError as error:
        sys.exit(f"{error}; see the top of benchmarks/runtimes.py for the environment that has all of them")
    network = OnnxNetwork(load(ROOT / "model" / "cat"))
    wild = sorted(arguments.data.glob("val-wild/*/*.jp*g"))[:WILD]
    mixes = {"web": photos.web(), "phone": photos.phone()}
    result: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "libjpeg_turbo_of_pillow": features.version_feature("libjpeg_turbo"),
        "rounds": ROUNDS,
        "failed": failed,
        "network_ms": network_time(network),
        "ms": {mix: times(decoders, data, ROUNDS[mix]) for mix, data in mixes.items()},
        "difference": {mix: differences(decoders, data, network) for mix, data in mixes.items()},
    }
    if wild:
        result["difference"]["wild"] = differences(decoders, [path.read_bytes() for path in wild], network)
        result["wild_photos"] = len(wild)
    print(table(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def ways(libturbojpeg: str | None) -> tuple[dict[str, Way], dict[str, str]]:
    """The decoders that work here, and the errors of those that do not."""
    import cv2
    import pyvips
    import simplejpeg
    import turbojpeg

    cv2.setNumThreads(1)
    decoders: dict[str, Way] = {
        "Pillow, whole": lambda data: to_pixels(decode(data).image, SIDE, SIDE),
        OURS: lambda data: to_pixels(decode(data, side=SIDE).image, SIDE, SIDE),
    }
    for name, fast in (("simplejpeg", False), ("simplejpeg, fast transforms", True)):
        read = functools.partial(
            simplejpeg.decode_jpeg, colorspace="RGB", min_height=ENOUGH, min_width=ENOUGH, fastdct=fast, fastupsample=fast
        )
        decoders[name] = lambda data, read=read: _by_pillow(read(data))  # type: ignore[misc]
    failed = {}
    try:
        turbo = turbojpeg.TurboJPEG(libturbojpeg)
        decoders["PyTurboJPEG"] = lambda data: _by_pillow(_turbo(turbojpeg, turbo, data))
    except (RuntimeError, OSError) as error:
        failed["PyTurboJPEG"] = str(error).split("\n")[0]
    decoders["OpenCV, reduced"] = lambda data: _opencv(cv2, data)
    decoders["pyvips, shrink on load"] = lambda data: pyvips.Image.thumbnail_buffer(
        data, SIDE, height=SIDE, size="force", no_rotate=True
    ).numpy()[:, :, :3]
    return decoders, failed


def _by_pillow(array: np.ndarray) -> np.ndarray:
    """Reduce as the service does, so that only the decoder differs."""
    return to_pixels(Image.fromarray(array), SIDE, SIDE)


def _turbo(module: Any, turbo: Any, data: bytes) -> np.ndarray:
    """As few cosine terms as leave ENOUGH pixels each way."""
    width, height, *_ = turbo.decode_header(data)
    factors = sorted(turbo.scaling_factors, key=lambda factor: factor[0] / factor[1])
    fitting = (factor for factor in factors if min(width, height) * factor[0] / factor[1] >= ENOUGH)
    factor = next(fitting, (1, 1))
    pixels: np.ndarray = turbo.decode(
        data, pixel_format=module.TJPF_RGB, scaling_factor=min(factor, (1, 1), key=lambda pair: pair[0] / pair[1])
    )
    return pixels


def _opencv(cv2: Any, data: bytes) -> np.ndarray:
    """OpenCV decodes at a half, a quarter or an eighth; its area interpolation averages almost as Pillow's bilinear does."""
    with Image.open(io.BytesIO(data)) as header:
        shorter = min(header.size)
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    flag = next((flag for factor, flag in flags.items() if shorter / factor >= ENOUGH), cv2.IMREAD_COLOR)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    reduced: np.ndarray = cv2.cvtColor(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    return reduced


def times(decoders: dict[str, Way], data: list[bytes], rounds: int) -> dict[str, float]:
    """Median milliseconds per photo of each decoder, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for turn in range(rounds + 1):
        for name, way in decoders.items():
            for photo in data:
                began = time.perf_counter()
                way(photo)
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - began)
    return {name: round(statistics.median(values) * 1000, 2) for name, values in seconds.items()}


def network_time(network: OnnxNetwork) -> float:
    """Median milliseconds of the network, which every photo needs in addition."""
    tensor, seconds = np.zeros((1, SIDE, SIDE, 3), np.float32), []
    for _ in range(40):
        began = time.perf_counter()
        network.run(tensor)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds) * 1000, 2)


def differences(decoders: dict[str, Way], data: list[bytes], network: OnnxNetwork) -> dict[str, dict[str, float | int]]:
    """How far each decoder's pixels (mean, of 255) and probabilities (maximum) differ from ours, and changed answers."""

    def looked_at(way: Way) -> list[tuple[np.ndarray, float]]:
        pixels = [way(photo).astype(np.float32) for photo in data]
        return [(one, float(network.run(one[np.newaxis]).probabilities[0])) for one in pixels]

    ours = looked_at(decoders[OURS])
    result = {}
    for name, way in decoders.items():
        pairs = list(zip(looked_at(way), ours, strict=True))
        result[name] = {
            "pixels": round(float(np.mean([np.abs(one[0] - own[0]).mean() for one, own in pairs])), 3),
            "probability": round(max(abs(one[1] - own[1]) for one, own in pairs), 4),
            "changed_sides": sum((one[1] > 0.5) != (own[1] > 0.5) for one, own in pairs),
        }
    return result


def table(result: dict) -> str:
    """The result as a Markdown table."""
    ms, differs, network = result["ms"], result["difference"], result["network_ms"]
    heads = [
        "decoder",
        "web, ms",
        "phone, ms",
        "phone photos/s with the network, relative to ours",
        "pixel difference",
        "probability difference",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in ms["web"]:
        gain = (ms["phone"][OURS] + network) / (ms["phone"][name] + network)
        pixels = max(of_mix[name]["pixels"] for of_mix in differs.values())
        probability = max(of_mix[name]["probability"] for of_mix in differs.values())
        shown = f"{ms['web'][name]:.2f} | {ms['phone'][name]:.1f} | {gain:.2f} | {pixels:.2f} of 255 | {probability:.3f}"
        lines.append(f"| {name} | {shown} |")
    lines += [f"| {name} | does not work: {reason} | | | | |" for name, reason in result["failed"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
