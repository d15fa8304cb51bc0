"""A photo's bytes come in; a single stage, or a single unit of it, explained from one pass over the photo, goes out."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.errors import InvalidRequest
from app.inference import palette, sheet
from app.inference.audit import Audit, audit
from app.inference.contract import Contract, Stage
from app.inference.decode import MAX_PIXELS, Photo
from app.inference.geometry import shape_of
from app.inference.network import Network
from app.inference.predict import read
from app.inference.sheet import Sheet

INPUT = "image"
"""What stands where a stage's name may stand: the picture that the network gets, (height, width, 3), 0..255."""


@dataclass(frozen=True)
class StageExplained:
    """What one stage computed for a photo: every channel's mean and largest value, (channels,), the ends of the stage's
    colour scale, and a sheet of all channels if it was asked for.

    For the network's input, `picture` is a PNG of it. If a channel was asked for, `plane` is a PNG of it, a pixel a value,
    and `values` are its numbers, (height, width) float32.
    """

    photo: Photo
    shape: tuple[int, ...]
    bottom: float
    top: float
    sheet: Sheet | None
    means: np.ndarray
    peaks: np.ndarray
    picture: bytes | None
    plane: bytes | None
    values: np.ndarray | None


def explain_stage(
    data: bytes,
    network: Network,
    name: str,
    channel: int | None = None,
    with_sheet: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> StageExplained:
    """Everything that one stage, an inner layer, or INPUT shows of a photo.

    Raises InvalidRequest for a stage or channel that the network does not have, and what `decode` raises.
    """
    check_stage(network.contract, name, channel)
    photo, values = stage_values(data, network, name, max_pixels)
    planes = palette.as_picture(values)
    bottom, top, _ = palette.scale(float(planes.min()), float(planes.max()))
    return StageExplained(
        photo=photo,
        shape=values.shape,
        bottom=bottom,
        top=top,
        sheet=sheet.sheet(values) if with_sheet else None,
        means=planes.mean(axis=(0, 1)),
        peaks=planes.max(axis=(0, 1)),
        picture=palette.encode(Image.fromarray(values.astype(np.uint8))) if name == INPUT else None,
        plane=None if channel is None else sheet.plane(values, channel),
        values=None if channel is None else planes[:, :, channel],
    )


def stage_values(data: bytes, network: Network, name: str, max_pixels: int = MAX_PIXELS) -> tuple[Photo, np.ndarray]:
    """What a stage, an inner layer, or INPUT computed for a photo, float32. Raises what `decode` raises."""
    photo, tensor = read(data, network, max_pixels)
    return photo, tensor[0] if name == INPUT else network.run(tensor, [name]).stages[name]


def explain_unit(
    data: bytes,
    network: Network,
    name: str,
    place: tuple[int, int, int],
    contributions: int = 12,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Photo, Audit]:
    """The arithmetic of one unit, `place` = (row, column, channel), of a stage or an inner layer.

    Raises InvalidRequest for a stage that the network does not have and a place beyond its shape, and what `decode` raises.
    """
    stage = check_unit(network.contract, name, place)
    photo, tensor = read(data, network, max_pixels)
    result = network.run(tensor, [name, *(source for source in stage.inputs if source != INPUT)])
    return photo, audit(network, stage, {INPUT: tensor[0], **result.stages}, place, contributions)


def check_stage(contract: Contract, name: str, channel: int | None = None) -> None:
    """Raise InvalidRequest for a stage that is neither in the contract nor INPUT, and for a channel that it has not."""
    if name != INPUT and contract.stage(name) is None:
        known = ", ".join([INPUT, *(stage.name for stage in contract.stages)])
        raise InvalidRequest(f"Network {contract.network} has no stage {name[:80]!r}; there are {known}.")
    count = shape_of(contract, name)[-1]
    if channel is not None and not 0 <= channel < count:
        raise InvalidRequest(f"Stage {name} has no channel {channel}; its channels are 0 to {count - 1}.")


def check_unit(contract: Contract, name: str, place: tuple[int, int, int]) -> Stage:
    """The stage of that name. Raises InvalidRequest when there is none, or when `place` is not one of its units."""
    stage = contract.stage(name)
    if stage is None:
        known = ", ".join(stage.name for stage in contract.stages)
        raise InvalidRequest(f"Network {contract.network} has no stage {name[:80]!r}; its stages are {known}.")
    shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
    for axis, index, size in zip(("row", "column", "channel"), place, shape, strict=True):
        if not 0 <= index < size:
            raise InvalidRequest(f"Stage {name} has no {axis} {index}; it has {size}, from 0 to {size - 1}.")
    return stage
