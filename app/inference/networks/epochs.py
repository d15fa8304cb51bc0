"""An epoch of a network's training comes in; the network as it was then goes out."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from app.errors import InvalidRequest
from app.inference.networks.contract import Contract
from app.inference.networks.weights import EpochsFile, EpochWeights

T = TypeVar("T")

HELD_WEIGHTS = 4_000_000
"""How many weights the recent epochs of one network may have together: 16 MB. One epoch is held in any case."""


def check(contract: Contract, epoch: int) -> None:
    """Raise InvalidRequest unless that epoch was kept."""
    if not contract.epochs:
        raise InvalidRequest(
            f"Network {contract.network} was kept after no epoch of its training; leave out the option epoch."
        )
    if not 0 <= epoch <= contract.epochs[-1].epoch:
        known = f"0 (random) to {contract.epochs[-1].epoch}"
        raise InvalidRequest(f"Network {contract.network} was not kept after epoch {epoch}; its epochs are {known}.")


class RecentEpochs(Generic[T]):
    """The networks of the epochs that were asked for last. Threads may share it.

    Raises NetworkError when the contract lists epochs and their file cannot be opened.
    """

    def __init__(self, contract: Contract) -> None:
        self._file = EpochsFile(contract) if contract.epochs else None
        self._most = max(1, HELD_WEIGHTS // max(contract.parameters, 1))
        self._recent: OrderedDict[int, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, epoch: int, make: Callable[[EpochWeights], T]) -> T:
        """What `make` made of the weights after that epoch, which must be one that was kept."""
        assert self._file is not None
        with self._lock:
            if epoch not in self._recent:
                self._recent[epoch] = make(EpochWeights(self._file, epoch))
            self._recent.move_to_end(epoch)
            while len(self._recent) > self._most:
                self._recent.popitem(last=False)
            return self._recent[epoch]
