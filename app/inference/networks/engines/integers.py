"""A network's twin in 8-bit integers: a photo comes in, its probabilities go out, in about half of the time.

The twin answers where nobody looks inside the network. Where its verdict is close, it hands over to the network, so that
both nearly always give the same verdict; the photos for which that matters are few. `training.export --int8` makes its file,
and holds its answers to those of the network in float.
"""

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import InvalidRequest, NetworkError
from app.inference.networks.contract import INT8_FILE, Contract
from app.inference.networks.engines.network import ForwardPass, Network, Twin, channels_last, passed
from app.inference.networks.held_file import HeldFile
from app.inference.networks.onnx.integer_layers import IntegerLayer, integer_layers
from app.inference.networks.onnx.onnx_file import UINT8, with_outputs
from app.inference.networks.runtime import passing_session, session

PRECISIONS = ("auto", "float32", "int8")
"""What may be asked for. `auto` are integers where they pay."""

WORTH = 1.3
"""How many times as fast as the float network its twin has to be to be preferred."""

MEASURING_S = 0.2
"""How long finding that out may take."""


class IntegerTwin:
    """A twin, run by ONNX Runtime on one thread. Several threads may call `run` at once.

    Raises NetworkError when its file is missing, differs from the contract's, or cannot be run.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        path = contract.verified(INT8_FILE)
        self.sha256 = contract.files[INT8_FILE]
        self.preferred, self.alone = False, False
        self._file = HeldFile(path, self.sha256)
        self._opened: Opened | None = None
        self._opening = threading.Lock()
        try:
            self._session = session(path)
            self._outputs = [output.name for output in self._session.get_outputs()]
            self.run(np.zeros((1, *contract.input_shape), np.uint8))
        except Exception as error:  # the runtime's own exceptions share no base class
            raise NetworkError(f"{path} cannot be run: {error}") from error

    def run(self, pixels: np.ndarray) -> ForwardPass:
        """See Twin.run."""
        outputs = self._session.run(self._outputs, {"image": pixels})
        arrays = {name: channels_last(output[0]) for name, output in zip(self._outputs, outputs, strict=True)}
        return passed(self.contract, arrays)

    def looked_at(self, pixels: np.ndarray, name: str) -> tuple[IntegerLayer, np.ndarray, np.ndarray] | None:
        """See Twin.looked_at."""
        with self._opening:
            opened = self._opened = self._opened or self._open()
        layer = opened.layers.get(name)
        if layer is None:
            return None
        read, written = opened.session.run([layer.reads.name, layer.writes.name], {"image": pixels})
        return layer, channels_last(read[0]), channels_last(written[0])

    def _open(self) -> "Opened":
        with self._file.map() as mapped:
            model = bytes(mapped)
        layers = integer_layers(model)
        names = {tensor.name: None for layer in layers.values() for tensor in (layer.reads, layer.writes)}
        return Opened(layers, passing_session(lambda: with_outputs(model, names, UINT8)))

    def settles(self, result: ForwardPass) -> bool:
        """See Twin.settles."""
        return self.contract.settled(self.contract.by_class(result.probabilities), result.distance)


@dataclass(frozen=True)
class Opened:
    """A twin whose integer layers can be read: `session` has the bytes that they read and write as outputs."""

    layers: dict[str, IntegerLayer]
    session: Any


def twin(contract: Contract, precision: str) -> IntegerTwin | None:
    """The twin of a network, if it has one and `precision`, the setting, allows it to answer."""
    return None if precision == "float32" or contract.int8 is None else IntegerTwin(contract)


def prefer(network: Network, made: IntegerTwin, precision: str) -> None:
    """Decide when the twin of a network answers."""
    made.alone = precision == "int8"
    made.preferred = made.alone or pays(network, made)


def pays(network: Network, made: Twin) -> bool:
    """Whether the twin is WORTH it on this CPU. Where the CPU adds products of integers in one instruction, VNNI, what was
    measured at the export says so; elsewhere both run a few times.
    """
    known = network.contract.int8
    if known is not None and known.times_as_fast is not None and has_vnni():
        return known.times_as_fast >= WORTH
    pixels = np.zeros((1, *network.contract.input_shape), np.uint8)
    tensor = pixels.astype(np.float32)
    return times_as_fast(lambda: network.run(tensor), lambda: made.run(pixels), MEASURING_S) >= WORTH


def times_as_fast(slow: Callable[[], object], fast: Callable[[], object], seconds: float) -> float:
    """How many times as fast `fast` is: the shortest times of both, which ran in turns for about that many seconds."""
    shortest = [float("inf")] * 2
    began = time.perf_counter()
    while True:
        for index, run in enumerate((slow, fast)):
            start = time.perf_counter()
            run()
            shortest[index] = min(shortest[index], time.perf_counter() - start)
        turn = sum(shortest)
        if time.perf_counter() - began + turn > seconds:
            return shortest[0] / shortest[1]


@functools.cache
def has_vnni(description: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has VNNI instructions; False where the system does not say."""
    try:
        flags = next(line for line in description.read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())


def speaker(network: Network, precision: str, inside: bool) -> Twin | None:
    """The twin that answers for a network, or None where the network itself does: `precision` is one of PRECISIONS, `inside`
    whether something inside the network is asked for too.

    Raises InvalidRequest when integers are asked for and the network has none.
    """
    if precision == "int8":
        check(network)
    if inside or precision == "float32" or network.integers is None:
        return None
    return network.integers if precision == "int8" or network.integers.preferred else None


def hands_over(twin: Twin, precision: str, result: ForwardPass) -> bool:
    """Whether a twin leaves a photo to its network after all: its verdict is close, and nobody asked for integers."""
    return not (twin.alone or precision == "int8" or twin.settles(result))


def check(network: Network) -> None:
    """Raise InvalidRequest unless integers can answer for the network."""
    if network.integers is not None:
        return
    contract = network.contract
    if network.changes.count or network.epoch is not None:
        why = "edited networks, and those of other epochs, compute in float32"
    elif contract.int8 is None:
        why = f"network {contract.network} has no twin in integers"
    else:
        why = "this service runs CATSCOPE_PRECISION=float32, or another engine"
    raise InvalidRequest(f"There is no answer with precision=int8: {why}. Ask for auto or float32.")
