"""A photo's bytes come in; the explanation of one stage, or of one unit, from a single pass goes out."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.errors import InvalidRequest
from app.inference.decode import MAX_PIXELS, Photo
from app.inference.drawing import channels, colours, png
from app.inference.drawing.channels import Sheet
from app.inference.explain.audit import Audit, audit
from app.inference.explain.integer_audit import IntegerAudit, integer_audit
from app.inference.explain.receptive_field import shape_of
from app.inference.networks.contract import Contract, Stage
from app.inference.networks.engines import integers
from app.inference.networks.engines.network import Network
from app.inference.predict import read

INPUT = "image"
"""Stands in for a stage name: the network's input picture, (height, width, 3), 0..255."""


@dataclass(frozen=True)
class ExplainedStage:
    """One stage's values for a photo: each channel's mean and largest value, (channels,), the ends of the stage's colour
    scale, and a sheet of all channels if requested.

    For the network's input, `picture` is a PNG of it. If a channel was requested, `plane` is a PNG of it with one pixel per
    value, and `values` are its numbers, (height, width) float32.
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
) -> ExplainedStage:
    """Explain one stage, an inner layer, or INPUT.

    Raises InvalidRequest for an unknown stage or channel, and what `decode` raises.
    """
    check_stage(network.contract, name, channel)
    photo, values = stage_values(data, network, name, max_pixels)
    planes = colours.as_picture(values)
    bottom, top, _ = colours.scale(float(planes.min()), float(planes.max()))
    draw_sheet, draw_plane = channels.sheet, channels.plane
    if name == INPUT:
        bottom, top, draw_sheet, draw_plane = 0.0, 255.0, channels.colour_sheet, channels.colour_plane
    return ExplainedStage(
        photo=photo,
        shape=values.shape,
        bottom=bottom,
        top=top,
        sheet=draw_sheet(values) if with_sheet else None,
        means=planes.mean(axis=(0, 1), dtype=np.float64),  # in float32 the mean of white pixels is more than 255
        peaks=planes.max(axis=(0, 1)),
        picture=png.encode_image(Image.fromarray(values.astype(np.uint8))) if name == INPUT else None,
        plane=None if channel is None else draw_plane(values, channel),
        values=None if channel is None else planes[:, :, channel],
    )


def stage_values(data: bytes, network: Network, name: str, max_pixels: int = MAX_PIXELS) -> tuple[Photo, np.ndarray]:
    """The values of a stage, an inner layer, or INPUT for a photo, float32. Raises what `decode` raises."""
    photo, tensor = read(data, network, max_pixels)
    return photo, tensor[0] if name == INPUT else network.run(tensor, [name]).stages[name]


def explain_unit(
    data: bytes,
    network: Network,
    name: str,
    position: tuple[int, int, int],
    contributions: int = 12,
    max_pixels: int = MAX_PIXELS,
    in_integers: bool = False,
) -> tuple[Photo, Audit, IntegerAudit | None]:
    """The arithmetic of the unit at `position`, (row, column, channel), of a stage or an inner layer; on request that of the
    network's twin as well, where that computes the stage in integers.

    Raises InvalidRequest for an unknown stage, for a position outside its shape and for integers where the network has none,
    and what `decode` raises.
    """
    stage = check_unit(network.contract, name, position)
    if in_integers:
        integers.check(network)
    photo, tensor = read(data, network, max_pixels)
    result = network.run(tensor, [name, *(source for source in stage.inputs if source != INPUT)])
    explained = audit(network, stage, {INPUT: tensor[0], **result.stages}, position, contributions)
    if not in_integers or network.integers is None:
        return photo, explained, None
    return photo, explained, integer_audit(network.integers, network.contract, stage, tensor.astype(np.uint8), position)


def check_stage(contract: Contract, name: str, channel: int | None = None) -> None:
    """Raise InvalidRequest for a stage that is neither in the contract nor INPUT, and for an unknown channel."""
    if name != INPUT and contract.stage(name) is None:
        known = ", ".join([INPUT, *(stage.name for stage in contract.stages)])
        raise InvalidRequest(f"Network {contract.network} has no stage {name[:80]!r}; accepted are {known}.")
    count = shape_of(contract, name)[-1]
    if channel is not None and not 0 <= channel < count:
        raise InvalidRequest(f"Stage {name} has no channel {channel}; its channels are 0 to {count - 1}.")


def check_unit(contract: Contract, name: str, position: tuple[int, int, int]) -> Stage:
    """The stage of that name. Raises InvalidRequest if there is none, or if `position` lies outside it."""
    stage = contract.stage(name)
    if stage is None:
        known = ", ".join(stage.name for stage in contract.stages)
        raise InvalidRequest(f"Network {contract.network} has no stage {name[:80]!r}; its stages are {known}.")
    shape = stage.shape if len(stage.shape) == 3 else (1, 1, *stage.shape)
    for axis, index, size in zip(("row", "column", "channel"), position, shape, strict=True):
        if not 0 <= index < size:
            known = f"its only {axis} is 0" if size == 1 else f"its {axis}s are 0 to {size - 1}"
            raise InvalidRequest(f"Stage {name} has no {axis} {index}; {known}.")
    return stage
