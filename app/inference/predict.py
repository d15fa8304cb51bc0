"""A photo's bytes come in, an answer goes out. Four steps in order: decode, tensor, network, feature maps."""

import math
import time
from dataclasses import dataclass

import numpy as np

from app.errors import InvalidRequest
from app.inference import heatmap
from app.inference.cage.photos import decode
from app.inference.decode import MAX_PIXELS, Photo
from app.inference.drawing import webp
from app.inference.feature_maps import FeatureMap, summarize
from app.inference.networks.engines import integers
from app.inference.networks.engines.network import ForwardPass, Network
from app.inference.tensor import to_pixels, to_tensor


@dataclass(frozen=True)
class PredictOptions:
    """What an answer should contain. `feature_maps` is thumbnails, summary or none; empty `stages` means all of them;
    `channels` is the number of strongest channels described per stage; `input` asks for the network's input as a file;
    `heatmap_class` is the class whose evidence the heatmap shows, None for the one that `heatmap.subject` chooses.
    `precision` is one of `integers.PRECISIONS`; when something inside the network is asked for, it answers in float.
    """

    feature_maps: str = "thumbnails"
    stages: tuple[str, ...] = ()
    channels: int = 4
    heatmap: bool = False
    input: bool = False
    heatmap_class: str | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class Answer:
    """The answer to one photo.

    `probabilities` maps class names to 0..1; `heatmap` is a PNG or None, `heatmap_class` the class whose evidence it shows,
    `heatmap_peak` the evidence at its brightest position, 0 if there is none; `input` a lossless WebP of what the network
    saw, or None; `milliseconds` maps steps to durations; `distance` is the photo's from those that the network was taught,
    None of a network that was trained. `precision` is float32 or int8, and `model_sha256` that of the file which was run.
    """

    label: str
    verdict: str
    probabilities: dict[str, float]
    feature_maps: tuple[FeatureMap, ...]
    heatmap: bytes | None
    heatmap_peak: float | None
    heatmap_class: str | None
    input: bytes | None
    photo: Photo
    milliseconds: dict[str, float]
    distance: float | None = None
    precision: str = "float32"
    model_sha256: str = ""


def predict(data: bytes, network: Network, options: PredictOptions, max_pixels: int = MAX_PIXELS) -> Answer:
    """Answer one photo.

    Raises InvalidRequest for a stage or a class that the network does not have, or for integers where it has no twin, and
    what `decode` raises.
    """
    check_class(network, options.heatmap_class)
    names = chosen_stages(network, options.stages) if options.feature_maps != "none" else []
    with_heatmap = options.heatmap and heatmap.possible(network.contract)
    requested = names + (heatmap.stages_needed(network.contract) if with_heatmap else [])
    inside = bool(requested or options.heatmap or options.input)
    twin = integers.speaker(network, options.precision, inside)
    stopwatch = _Stopwatch()
    photo = decoded(data, network, max_pixels)
    height, width, _ = network.contract.input_shape
    result = None
    if twin is not None:
        pixels = to_pixels(photo.image, height, width)[np.newaxis]
        stopwatch.lap("decode")
        result = twin.run(pixels)
        stopwatch.lap("inference")
        if integers.hands_over(twin, options.precision, result):
            result = twin = None
    if result is None:
        tensor = to_tensor(photo.image, height, width)
        stopwatch.lap("decode")
        result = network.run(tensor, dict.fromkeys(requested))
        stopwatch.lap("inference")
    maps = []
    for name in names:
        stage = network.contract.stage(name)
        assert stage is not None  # chosen_stages checked it
        maps.append(summarize(name, stage.kind, result.stages[name], options.channels, options.feature_maps == "thumbnails"))
    stopwatch.lap("feature_maps")
    probabilities = network.contract.by_class(result.probabilities)
    picture, peak, subject = None, None, None
    if with_heatmap:
        subject = options.heatmap_class or heatmap.subject(network.contract, probabilities)
        evidence = heatmap.evidence(network, tensor, result.stages, subject)
        picture, peak = heatmap.overlay(evidence, photo.width, photo.height), max(0.0, float(evidence.max()))
        stopwatch.lap("heatmap")
    return Answer(
        label=likeliest(probabilities),
        verdict=network.contract.verdict(probabilities, result.distance),
        probabilities=probabilities,
        feature_maps=tuple(maps),
        heatmap=picture,
        heatmap_peak=peak,
        heatmap_class=subject,
        input=input_file(tensor) if options.input else None,
        photo=photo,
        milliseconds=stopwatch.laps,
        distance=result.distance,
        precision="float32" if twin is None else "int8",
        model_sha256=(network if twin is None else twin).sha256,
    )


def likeliest(probabilities: dict[str, float]) -> str:
    """The name of the class with the largest probability."""
    return max(probabilities, key=lambda name: probabilities[name])


def check_class(network: Network, name: str | None) -> None:
    """Raise InvalidRequest for a name that is none of the network's classes; None is no name."""
    classes = network.contract.classes
    if name is not None and name not in classes:
        raise InvalidRequest(
            f"Network {network.contract.network} has no class {name[:80]!r}; its classes are {', '.join(classes)}."
        )


def raw_stages(data: bytes, network: Network, stages: tuple[str, ...], max_pixels: int = MAX_PIXELS) -> ForwardPass:
    """The values of the chosen stages for one photo; empty `stages` means all. Raises as `predict` does."""
    names = chosen_stages(network, stages)
    _, tensor = read(data, network, max_pixels)
    result = network.run(tensor, names)
    return ForwardPass(result.probabilities, {name: result.stages[name] for name in names})


MAX_VALUES = 16_000_000
"""Values in one answer of `run_photos`: all 26 stages of `cat` for four photos, or `probabilities` for any batch."""


def run_photos(
    network: Network, photos: np.ndarray, outputs: tuple[str, ...], precision: str = "float32"
) -> tuple[dict[str, np.ndarray], str]:
    """Run photos, (n, height, width, 3) float32; each output has one row per photo. Empty `outputs` means every stage. Also
    returns the precision, float32 or int8: integers answer where only probabilities are asked for, and all colours are whole
    numbers from 0 to 255, as those of photos are. If the verdict on one of them is close, the network answers all.

    Raises InvalidRequest for an unknown output, for more than MAX_VALUES values in total, and for integers where there are
    none.
    """
    names = chosen_stages(network, outputs)
    shapes = {stage.name: stage.shape for stage in (*network.contract.stages, *network.contract.inner)}
    values = len(photos) * sum(math.prod(shapes[name]) for name in names)
    if values > MAX_VALUES:
        raise InvalidRequest(
            f"The requested outputs have {values} values; at most {MAX_VALUES} are answered at once. "
            "Name only the outputs you need, or send fewer photos."
        )
    if outputs:
        names = list(outputs)  # in the order of the request
    twin = integers.speaker(network, precision, inside=names != ["probabilities"])
    pixels = whole(photos) if twin is not None else None
    if twin is not None and pixels is not None:
        answers: list[np.ndarray] = []
        for photo in pixels:
            answer = twin.run(photo[None])
            if integers.hands_over(twin, precision, answer):
                break
            answers.append(answer.probabilities)
        else:
            return {"probabilities": np.stack(answers)}, "int8"
    passes = [network.run(photo[None], names).stages for photo in photos]
    return {name: np.stack([stages[name] for stages in passes]) for name in names}, "float32"


def whole(photos: np.ndarray) -> np.ndarray | None:
    """Photos, (n, height, width, 3) float32, as uint8, or None if their colours are no whole numbers from 0 to 255."""
    with np.errstate(invalid="ignore"):  # what is not a number is not equal to what it became either
        pixels = photos.astype(np.uint8)
    return pixels if np.array_equal(pixels, photos) else None


def chosen_stages(network: Network, stages: tuple[str, ...]) -> list[str]:
    """The named stages, once each, in the network's order, then the named inner layers; all stages if none is named.

    Raises InvalidRequest for a name that is neither a stage nor an inner layer.
    """
    stage_names = [stage.name for stage in network.contract.stages]
    known = stage_names + [layer.name for layer in network.contract.inner]
    unknown = [name for name in stages if name not in known]
    if unknown:
        raise InvalidRequest(
            f"Network {network.contract.network} has no stage {', '.join(unknown)}; its stages are {', '.join(stage_names)}."
        )
    return [name for name in known if name in stages] if stages else stage_names


def read(data: bytes, network: Network, max_pixels: int) -> tuple[Photo, np.ndarray]:
    """The first two steps: the photo and the network's input tensor. Raises what `decode` raises."""
    height, width, _ = network.contract.input_shape
    photo = decoded(data, network, max_pixels)
    return photo, to_tensor(photo.image, height, width)


def decoded(data: bytes, network: Network, max_pixels: int) -> Photo:
    """The first step, at no larger size than the network needs. Raises what `decode` raises."""
    height, width, _ = network.contract.input_shape
    return decode(data, max_pixels, max(height, width))


def input_file(tensor: np.ndarray) -> bytes:
    """What the network saw, (1, height, width, 3) float32 of whole numbers 0..255, as a lossless WebP. `read` makes the same
    tensor of it, so every answer to it has the numbers of the photo, at a fraction of a photo's bytes.
    """
    return webp.lossless(tensor[0].astype(np.uint8))


class _Stopwatch:
    """The duration of each step in milliseconds, from the end of the previous one; a step that is taken twice adds up."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.laps[step] = round(self.laps.get(step, 0.0) + (now - self._last) * 1000, 3)
        self._last = now
