"""What a network and its twin answered to photos comes in; how far they agree goes out, and whether that is near enough."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.inference.networks.contract import Contract

MOST_CHANGED = 0.001
"""The share of photos for which both may give different verdicts."""

UNDECIDED = 6.0
"""Log odds of the likeliest class beyond which a photo tells nothing about a margin: its probability is 0.998."""

DEVIATIONS = 6
"""A margin is so many standard deviations of the difference of the log odds. One photo in a hundred deviates by more than
three."""

UNDECIDED_VERDICTS = ("unsure", "unfamiliar")
LEAST_MARGIN = 0.3
_TINY = 1e-6  # where all photos are the same to the network
LEAST_NEAR = 0.03
"""Of photos that are blurred, distances deviate by more than of those that are compared."""

FEW = 20
"""Among fewer undecided log odds, of which a photo has one for each class, all of them are looked at."""


@dataclass(frozen=True)
class Agreement:
    """How the twin answered a set of photos. `right` are the labels that were right, `right_float` those of the network,
    `changed` the verdicts that differ. Names that end in `alone` count the twin's own answers; the others, as everywhere,
    those of the network where the twin hands over. `handed_over` counts those.
    """

    photos: int
    right_float: int
    right: int
    changed: int
    handed_over: int
    right_alone: int
    changed_alone: int
    opposite_alone: int
    """Verdicts that name two different classes; the other changes are from or to `unsure` or `unfamiliar`."""


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Of each class, (n, classes) float64, from probabilities."""
    bounded = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(bounded) - np.log1p(-bounded))


def margin(network: np.ndarray, twin: np.ndarray) -> float:
    """How near a twin's log odds may come to a limit of a verdict before the network is asked; from the answers of both to
    the same photos, (n, classes). Two decimals.
    """
    true, own = log_odds(network), log_odds(twin)
    undecided = np.abs(true) < UNDECIDED
    if undecided.sum() < FEW:
        undecided[:] = True
    return round(max(LEAST_MARGIN, DEVIATIONS * float((own - true)[undecided].std())), 2)


def near(distances: np.ndarray, limit: float) -> float:
    """How near, as a share of the limit, a distance from what was taught may come to it before the network is asked; from
    those that both found of the same photos, (n, 2). Three decimals.
    """
    deviation = float((distances[:, 1] - distances[:, 0]).std()) / max(limit, _TINY)
    return round(max(LEAST_NEAR, DEVIATIONS * deviation), 3)


def between(
    contract: Contract, network: np.ndarray, twin: np.ndarray, labels: np.ndarray, distances: np.ndarray | None = None
) -> Agreement:
    """Compare the answers to a set, (n, classes) each, of photos with these labels, (n,), indices of classes. The contract
    has the margin; `distances`, (n, 2), are those that both found, of a network that was taught.
    """
    far = np.full((len(labels), 2), None) if distances is None else distances
    settled = np.array([contract.settled(contract.by_class(row), one) for row, one in zip(twin, far[:, 1], strict=True)])
    together = np.where(settled[:, None], twin, network)
    verdicts, own = _verdicts(contract, network, far[:, 0]), _verdicts(contract, twin, far[:, 1])
    either = np.isin(verdicts, UNDECIDED_VERDICTS) | np.isin(own, UNDECIDED_VERDICTS)
    return Agreement(
        photos=len(labels),
        right_float=_right(network, labels),
        right=_right(together, labels),
        changed=int((np.where(settled, own, verdicts) != verdicts).sum()),
        handed_over=int((~settled).sum()),
        right_alone=_right(twin, labels),
        changed_alone=int((own != verdicts).sum()),
        opposite_alone=int(((own != verdicts) & ~either).sum()),
    )


def objection(sets: Mapping[str, Agreement]) -> str:
    """Why the twin may not answer: it loses an answer of a set against the network, or changes too many verdicts. Empty if
    it may.
    """
    lost = [
        f"{name} ({one.right} right, {one.right_float} in float)"
        for name, one in sets.items()
        if one.right < one.right_float
    ]
    if lost:
        return f"integers lose answers of {', '.join(lost)}"
    photos = sum(one.photos for one in sets.values())
    for what, count in (
        ("verdicts", sum(one.changed for one in sets.values())),
        ("verdicts of the twin alone to the opposite", sum(one.opposite_alone for one in sets.values())),
    ):
        if count > max(1, MOST_CHANGED * photos):
            return f"integers change {count} {what} of {photos}, more than {MOST_CHANGED:.1%}"
    return ""


def plain(sets: Mapping[str, Agreement]) -> dict[str, Any]:
    """As a contract has them."""
    return {name: asdict(one) for name, one in sets.items()}


def _right(probabilities: np.ndarray, labels: np.ndarray) -> int:
    return int((probabilities.argmax(axis=1) == labels).sum())


def _verdicts(contract: Contract, probabilities: np.ndarray, far: np.ndarray) -> np.ndarray:
    return np.array([contract.verdict(contract.by_class(row), one) for row, one in zip(probabilities, far, strict=True)])
