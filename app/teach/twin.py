"""What integers saw in the photos that were taught comes in; whether the network that was taught gets a twin goes out.

The convolutions of what was taught are those of `cat`, bit for bit. So its twin has the integers of the twin of `cat`, and
the new judges in float behind them: there is nothing to calibrate but how close a verdict may be, see app.teach.agreement.
That, and whether both agree, is found by cross-validation: of each photo, what the network saw and what its twin saw go to
judges that have seen neither.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from app.inference.networks.contract import INT8_FILE, Contract, Int8
from app.inference.networks.engines.integers import WORTH
from app.inference.networks.onnx.onnx_file import with_outputs
from app.inference.networks.onnx.other_classes import last_of
from app.inference.networks.runtime import passing_session
from app.teach import agreement
from app.teach.calibrate import softmax
from app.teach.photos import MOST_COMPARED, Eyes

if TYPE_CHECKING:  # as in app.teach.folder
    from app.teach.teach import Taught

SET = "cross-validation"
"""The name of the set on which both are compared."""

USUAL = 2.0
"""How many times as fast a twin is on a CPU with VNNI, where nobody measured it."""


@dataclass(frozen=True)
class Twin:
    """What is known of the twin. `contract` is what the network's contract says of it, None where there is none: then `why`
    says why. `sets` are what was counted of both, by name.
    """

    contract: Mapping[str, Any] | None
    sets: Mapping[str, Any]
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """As metrics.json has it."""
        return {"refused": self.why or None, "sets": dict(self.sets)}


def eyes(contract: Contract) -> Eyes | None:
    """What a network's twin sees of a photo, None for a network without one.

    Raises NetworkError if its file is missing, differs from the contract's, or is no such twin's.
    """
    if contract.int8 is None:
        return None
    model = contract.verified(INT8_FILE).read_bytes()
    name = last_of(model)
    session = passing_session(lambda: with_outputs(model, [name]))

    def see(tensor: np.ndarray) -> np.ndarray:
        [seen] = session.run([name], {"image": tensor.astype(np.uint8)})
        return np.asarray(seen[0].mean(axis=(1, 2), dtype=np.float32))

    return see


def compare(taught: "Taught", start: Contract) -> Twin:
    """Whether what was taught gets a twin, from that of `start`, the network that saw the photos."""
    if start.int8 is None:
        return Twin(None, {}, f"{start.network} {start.version}, from which it was taught, has no twin in integers")
    known = taught.compared
    if known is None or 2 * len(known.rows) < min(len(taught.photos), MOST_COMPARED):
        return Twin(None, {}, "it was not kept what integers see in its photos")
    network, twin = (softmax(scores / taught.temperature) for scores in known.scores)
    labels = np.array([taught.photos[row].label for row in known.rows])
    limits = Int8(
        agreement.margin(network, twin),
        start.int8.times_as_fast,
        agreement.near(known.distances.T, taught.familiarity.limit),
    )
    trial = replace(
        start,
        classes=taught.classes,
        unsure=(taught.band.low, taught.band.high),
        familiarity=taught.familiarity,
        int8=limits,
    )
    agreed = agreement.between(trial, network, twin, labels, known.distances.T)
    sets = agreement.plain({SET: agreed})
    if why := agreement.objection({SET: agreed}) or _too_slow(agreed, limits.times_as_fast or USUAL):
        return Twin(None, sets, why)
    return Twin({**asdict(limits), "sets": sets}, sets)


def said(plain: Mapping[str, Any]) -> str:
    """What metrics.json says of a twin, as a sentence."""
    if plain["refused"]:
        return f"It answers in float only: {plain['refused']}."
    one = plain["sets"][SET]
    return (
        f"Its twin in integers changes {one['changed']} verdicts of {one['photos']}, and leaves {one['handed_over']} of "
        "these photos to it."
    )


def _too_slow(agreed: agreement.Agreement, times_as_fast: float) -> str:
    """Why a twin is not WORTH it that leaves so many photos to the network, each answered twice then; empty if it is."""
    if 1 / times_as_fast + agreed.handed_over / agreed.photos <= 1 / WORTH:
        return ""
    left = f"of {agreed.photos} photos, {agreed.handed_over} would be left to the network"
    return f"{left}, so integers would save too little time"
