"""A photo's bytes come in, an answer goes out. The four steps in order: decode, tensor, network, feature maps."""

import time
from dataclasses import dataclass

import numpy as np

from app.errors import InvalidRequest
from app.inference import heatmap
from app.inference.decode import MAX_PIXELS, Photo, decode
from app.inference.feature_maps import FeatureMap, summarize
from app.inference.network import Network, Pass
from app.inference.tensor import to_tensor


@dataclass(frozen=True)
class Wanted:
    """What an answer should hold. `feature_maps` is thumbnails, summary or none; `stages` empty means all of them;
    `channels` is how many of the strongest channels of each stage are described.
    """

    feature_maps: str = "thumbnails"
    stages: tuple[str, ...] = ()
    channels: int = 4
    heatmap: bool = False


@dataclass(frozen=True)
class Answer:
    """Everything that is answered about one photo.

    `probabilities` maps class names to 0..1; `heatmap` is a PNG or None, `heatmap_class` the class whose evidence it shows,
    `heatmap_peak` the evidence at its brightest place, 0 if none speaks for it; `milliseconds` maps steps to the time they
    took.
    """

    label: str
    verdict: str
    probabilities: dict[str, float]
    feature_maps: tuple[FeatureMap, ...]
    heatmap: bytes | None
    heatmap_peak: float | None
    heatmap_class: str | None
    photo: Photo
    milliseconds: dict[str, float]


def predict(data: bytes, network: Network, wanted: Wanted, max_pixels: int = MAX_PIXELS) -> Answer:
    """Answer one photo.

    Raises InvalidRequest for a stage that the network does not have, and what `decode` raises.
    """
    names = chosen_stages(network, wanted.stages) if wanted.feature_maps != "none" else []
    drawn = wanted.heatmap and heatmap.possible(network.contract)
    tapped = names + (heatmap.stages_needed(network.contract) if drawn else [])
    clock = _Clock()
    photo, tensor = read(data, network, max_pixels)
    clock.lap("decode")
    result = network.run(tensor, dict.fromkeys(tapped))
    clock.lap("inference")
    maps = []
    for name in names:
        stage = network.contract.stage(name)
        assert stage is not None  # chosen_stages checked it
        maps.append(summarize(name, stage.kind, result.stages[name], wanted.channels, wanted.feature_maps == "thumbnails"))
    clock.lap("feature_maps")
    probabilities = by_class(network, result)
    picture, peak, subject = None, None, None
    if drawn:
        subject = heatmap.subject(network.contract, probabilities)
        places = heatmap.evidence(network, tensor, result.stages, subject)
        picture, peak = heatmap.overlay(places, photo.width, photo.height), max(0.0, float(places.max()))
        clock.lap("heatmap")
    return Answer(
        label=likelier(probabilities),
        verdict=network.contract.verdict(probabilities),
        probabilities=probabilities,
        feature_maps=tuple(maps),
        heatmap=picture,
        heatmap_peak=peak,
        heatmap_class=subject,
        photo=photo,
        milliseconds=clock.laps,
    )


def by_class(network: Network, result: Pass) -> dict[str, float]:
    """The probabilities of a pass by the names of their classes."""
    return dict(zip(network.contract.classes, map(float, result.probabilities), strict=True))


def likelier(probabilities: dict[str, float]) -> str:
    """The name of the class with the largest probability."""
    return max(probabilities, key=lambda name: probabilities[name])


def raw_stages(data: bytes, network: Network, stages: tuple[str, ...], max_pixels: int = MAX_PIXELS) -> Pass:
    """What every chosen stage computed for one photo; empty `stages` means all. Raises as `predict` does."""
    names = chosen_stages(network, stages)
    _, tensor = read(data, network, max_pixels)
    result = network.run(tensor, names)
    return Pass(result.probabilities, {name: result.stages[name] for name in names})


def chosen_stages(network: Network, stages: tuple[str, ...]) -> list[str]:
    """The stages asked for, once each and in the network's order, inner layers after them; all stages when none is named.

    Raises InvalidRequest for a name that is neither a stage nor an inner layer.
    """
    everything = [stage.name for stage in network.contract.stages]
    known = everything + [layer.name for layer in network.contract.inner]
    unknown = [name for name in stages if name not in known]
    if unknown:
        raise InvalidRequest(
            f"Network {network.contract.network} has no stage {', '.join(unknown)}; its stages are {', '.join(everything)}."
        )
    return [name for name in known if name in stages] if stages else everything


def read(data: bytes, network: Network, max_pixels: int) -> tuple[Photo, np.ndarray]:
    """The first two steps: the photo, and the tensor that the network gets. Raises what `decode` raises."""
    height, width, _ = network.contract.input_shape
    photo = decode(data, max_pixels, max(height, width))
    return photo, to_tensor(photo.image, height, width)


class _Clock:
    """Milliseconds of each step since the one before."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.laps[step] = round((now - self._last) * 1000, 3)
        self._last = now
