"""The edits of a network that a client asks for come in; checked, its changed weights and muted channels go out.

An edited network is for the question that it came with. Nothing of it is stored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.errors import InvalidRequest
from app.inference.networks.contract import Contract, Stage

MAX_EDITS = 64
"""Edits of one network."""

MAX_WEIGHT = 1e6
"""Largest magnitude of a weight or a bias."""

WITH_KERNEL = ("convolution", "depthwise_convolution", "dense")
"""The kinds of stages that have weights to edit."""


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of a stage or inner layer: either `mute`, or another `kernel`, another `bias` or both of one filter.

    - `channel`: the channel, filter or unit; None mutes all of the stage's
    - `mute`: what the channel answers is 0 everywhere, whatever it computes
    - `kernel`: the filter's weights, (height, width, inputs), of a depthwise convolution (height, width, 1), of a fully
      connected unit (inputs,); a last axis of 1 may be missing
    """

    stage: str
    channel: int | None = None
    mute: bool = False
    kernel: np.ndarray | None = None
    bias: float | None = None


@dataclass(frozen=True, eq=False)
class Changes:
    """What edits come to, by stage.

    - `kernels`, `biases`: of the filters that are edited, by channel, shaped as in `Network.kernel` and `Network.bias`
    - `muted`: which channels are, (channels,) bool
    - `count`: the number of edits
    - `key`: a digest; equal changes have equal ones
    """

    kernels: Mapping[str, Mapping[int, np.ndarray]] = field(default_factory=dict)
    biases: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    muted: Mapping[str, np.ndarray] = field(default_factory=dict)
    count: int = 0
    key: str = ""

    def mutes(self, stage: str, channel: int) -> bool:
        """Whether that channel of the stage is muted."""
        return stage in self.muted and bool(self.muted[stage][channel])


def changes(edits: Sequence[Edit], contract: Contract) -> Changes:
    """What the edits change in the network of that contract.

    Raises InvalidRequest for more than MAX_EDITS, and for an edit that does not fit: a stage or channel that is not there, a
    kernel of another shape, a number that is not finite or beyond MAX_WEIGHT, a channel that an earlier edit changes.
    """
    if len(edits) > MAX_EDITS:
        raise InvalidRequest(f"There are {len(edits)} edits; at most {MAX_EDITS} are accepted.")
    work = _Work(contract)
    for number, edit in enumerate(edits):
        try:
            work.add(number, edit)
        except InvalidRequest as error:
            raise InvalidRequest(f"edits[{number}]: {error}") from None
    return Changes(work.kernels, work.biases, work.muted, len(edits), _key(edits))


class _Work:
    """Edits, one after the other."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._edited: dict[tuple[str, int], int] = {}
        self.kernels: dict[str, dict[int, np.ndarray]] = {}
        self.biases: dict[str, dict[int, float]] = {}
        self.muted: dict[str, np.ndarray] = {}

    def add(self, number: int, edit: Edit) -> None:
        stage = self._stage(edit)
        channels = range(stage.shape[-1]) if edit.channel is None else [edit.channel]
        for channel in channels:
            before = self._edited.setdefault((stage.name, channel), number)
            if before != number:
                raise InvalidRequest(
                    f"channel {channel} of stage {stage.name} is changed by edits[{before}] too; send one edit a channel."
                )
        if edit.mute:
            self.muted.setdefault(stage.name, np.zeros(stage.shape[-1], bool))[list(channels)] = True
            return
        if edit.channel is None or (edit.kernel is None and edit.bias is None):
            raise InvalidRequest("it mutes nothing and has no kernel or bias of one channel.")
        if stage.kind not in WITH_KERNEL:
            raise InvalidRequest(f"stage {stage.name} is of kind {stage.kind}, which has no kernel; it can be muted.")
        shape = self._contract.filter_shape(stage)
        if edit.kernel is not None:
            self.kernels.setdefault(stage.name, {})[edit.channel] = _kernel(stage, edit.kernel, shape)
        if edit.bias is not None:
            if not self._contract.has_bias(stage):
                raise InvalidRequest(f"stage {stage.name} has no biases.")
            _check_numbers(np.array(edit.bias))
            self.biases.setdefault(stage.name, {})[edit.channel] = edit.bias

    def _stage(self, edit: Edit) -> Stage:
        contract = self._contract
        stage = contract.stage(edit.stage)
        if stage is None:
            known = ", ".join(stage.name for stage in contract.stages)
            raise InvalidRequest(f"network {contract.network} has no stage {edit.stage[:80]!r}; its stages are {known}.")
        if stage.kind == "probabilities":
            raise InvalidRequest("the probabilities sum to 1 and cannot be changed; change a stage before them.")
        count = stage.shape[-1]
        if edit.channel is not None and not 0 <= edit.channel < count:
            raise InvalidRequest(f"stage {stage.name} has no channel {edit.channel}; its channels are 0 to {count - 1}.")
        return stage


def _kernel(stage: Stage, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if kernel.shape not in (shape, shape[:-1] if shape[-1] == 1 else shape):
        raise InvalidRequest(f"the kernel has the shape {list(kernel.shape)}; one of stage {stage.name} has {list(shape)}.")
    _check_numbers(kernel)
    return kernel.reshape(shape).astype(np.float32)


def _check_numbers(numbers: np.ndarray) -> None:
    if not np.isfinite(numbers).all() or np.abs(numbers).max(initial=0) > MAX_WEIGHT:
        raise InvalidRequest(f"a weight or bias must be a finite number from {-MAX_WEIGHT:.0f} to {MAX_WEIGHT:.0f}.")


def _key(edits: Sequence[Edit]) -> str:
    """A digest that does not depend on the order: no two edits change the same channel."""
    texts = sorted(
        f"{edit.stage} {edit.channel} {edit.mute} {edit.bias} "
        + ("" if edit.kernel is None else edit.kernel.astype(np.float32).tobytes().hex())
        for edit in edits
    )
    return hashlib.sha256("\n".join(texts).encode()).hexdigest() if texts else ""
