"""A network's name or folder comes in; its stages go out, as a table or as JSON."""

import argparse
import json
from pathlib import Path

from app.errors import NetworkError
from app.inference.explain import receptive_field
from app.inference.networks import versions
from app.inference.networks.contract import Contract, Stage, load
from app.settings import Settings

COLUMNS = ("stage", "kind", "shape", "parameters", "kernel", "stride", "padding", "receptive field", "inputs")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the network. Raises NetworkError if it does not exist or its files do not match its contract."""
    contract = _contract(arguments, settings)
    if arguments.json:
        print(json.dumps(description(contract), indent=1))
        return 0
    height, width, _ = contract.input_shape
    low, high = contract.unsure
    beyond = f", unfamiliar beyond {contract.familiarity.limit:.3f}" if contract.familiarity else ""
    classes = " or ".join(contract.classes)
    print(f"{contract.network} {contract.version}: {classes}, from a photo stretched to {height}x{width}")
    print(f"{contract.parameters:,} parameters; unsure from {low:g} to {high:g}{beyond}; {contract.folder}")
    print()
    rows = [_cells(contract, stage) for stage in (_in_order(contract) if arguments.inner else contract.stages)]
    print(table([COLUMNS, *rows]))
    return 0


def _contract(arguments: argparse.Namespace, settings: Settings) -> Contract:
    """The network's contract, after checking the digest of the file that the engine runs."""
    folder = Path(arguments.network)
    if (folder / "contract.json").is_file():
        contract = load(folder)
        if arguments.network_version not in (None, contract.version):
            raise NetworkError(f"{folder} is version {contract.version}, not {arguments.network_version}")
    else:
        contracts = versions.catalogue(settings.networks, lambda contract: contract, settings.pins, arguments.network)
        contract = contracts.select(arguments.network, arguments.network_version)
    contract.verified(f"model.{settings.engine}")
    return contract


def description(contract: Contract) -> dict[str, object]:
    """The network with the member names of GET /models/{network}."""
    return {
        "network": contract.network,
        "version": contract.version,
        "classes": contract.classes,
        "input_shape": contract.input_shape,
        "parameters": contract.parameters,
        "unsure": contract.unsure,
        "stages": [receptive_field.describe(contract, stage) for stage in contract.stages],
        "inner": [receptive_field.describe(contract, layer) for layer in contract.inner],
    }


def _in_order(contract: Contract) -> list[Stage]:
    """The stages, each preceded by the layers inside it."""
    ordered: list[Stage] = []
    for stage in contract.stages:
        ordered += [layer for layer in contract.inner if layer.name.startswith(f"{stage.name}_")]
        ordered.append(stage)
    return ordered


def _cells(contract: Contract, stage: Stage) -> tuple[str, ...]:
    height, width = contract.input_shape[:2]
    field = receptive_field.receptive_field(contract, stage).size
    seen = (min(field[0], height), min(field[1], width))
    return (
        stage.name,
        f"{stage.kind} ({stage.operation})" if stage.operation else stage.kind,
        _times(stage.shape),
        f"{stage.parameters:,}" if stage.parameters else "",
        _times(stage.kernel or ()),
        _times(stage.stride or ()),
        stage.padding or "",
        _times(seen),
        ", ".join(stage.inputs),
    )


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows as lines of text, with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
