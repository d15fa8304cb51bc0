"""A network's name or folder comes in; its stages, as a table or as JSON, go out."""

import argparse
import json
from pathlib import Path

from app.errors import NetworkError
from app.inference import contract, geometry, versions
from app.inference.contract import Contract, Stage
from app.settings import Settings

COLUMNS = ("stage", "kind", "shape", "parameters", "kernel", "stride", "padding", "sees", "inputs")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the network. Raises NetworkError when there is none of that name, or its files are not what they should be."""
    found = _contract(arguments, settings)
    if arguments.json:
        print(json.dumps(described(found), indent=1))
        return 0
    height, width, _ = found.input_shape
    low, high = found.unsure
    print(f"{found.network} {found.version}: {' or '.join(found.classes)}, from a photo stretched to {height}x{width}")
    print(f"{found.parameters:,} parameters; unsure from {low:g} to {high:g}; {found.folder}")
    print()
    rows = [_cells(found, stage) for stage in (_in_order(found) if arguments.inner else found.stages)]
    print(table([COLUMNS, *rows]))
    return 0


def _contract(arguments: argparse.Namespace, settings: Settings) -> Contract:
    """The contract, after its export's bytes were compared with it."""
    folder = Path(arguments.network)
    if (folder / "contract.json").is_file():
        found = contract.load(folder)
        if arguments.network_version not in (None, found.version):
            raise NetworkError(f"{folder} is version {found.version}, not {arguments.network_version}")
    else:
        good = versions.good(settings.model_dir, lambda promised: promised, settings.pins, arguments.network)
        found = good.one(arguments.network, arguments.network_version)
    found.verified(f"model.{settings.engine}")
    return found


def described(found: Contract) -> dict[str, object]:
    """The network in the members of GET /models/{network}."""
    return {
        "network": found.network,
        "version": found.version,
        "classes": found.classes,
        "input_shape": found.input_shape,
        "parameters": found.parameters,
        "unsure": found.unsure,
        "stages": [geometry.described(found, stage) for stage in found.stages],
        "inner": [geometry.described(found, layer) for layer in found.inner],
    }


def _in_order(found: Contract) -> list[Stage]:
    """The stages, and before each of them the layers inside of it."""
    ordered: list[Stage] = []
    for stage in found.stages:
        ordered += [layer for layer in found.inner if layer.name.startswith(f"{stage.name}_")]
        ordered.append(stage)
    return ordered


def _cells(found: Contract, stage: Stage) -> tuple[str, ...]:
    height, width = found.input_shape[:2]
    seen = geometry.receptive_field(found, stage).size
    pixels = (min(seen[0], height), min(seen[1], width))
    return (
        stage.name,
        f"{stage.kind} ({stage.operation})" if stage.operation else stage.kind,
        _times(stage.shape),
        f"{stage.parameters:,}" if stage.parameters else "",
        _times(stage.kernel or ()),
        _times(stage.stride or ()),
        stage.padding or "",
        _times(pixels),
        ", ".join(stage.inputs),
    )


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of cells as lines whose columns stand under each other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
