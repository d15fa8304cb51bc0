"""A network that was taught, and corrections of it, come in; a candidate for its next version goes out.

Its judges are fitted anew, to what was seen in the photos that were taught and in the corrected ones, as when it was taught;
and so its twin in integers is compared anew.
"""

from collections.abc import Sequence

import numpy as np

from app.errors import NetworkError
from app.inference.networks.contract import Contract
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn.candidate import Candidate, Shown, compared, raw
from app.learn.corrected import Look
from app.learn.promotion import compare
from app.teach.folder import PHOTOS, history, metrics, seen_in, verdicts, weights
from app.teach.photos import Seen
from app.teach.teach import teach
from app.teach.twin import compare as compare_twin

TAUGHT = "taught before"
"""The set of the photos that were taught; each was answered by judges that had not seen it, in cross-validation."""


def was_taught(contract: Contract) -> bool:
    """Whether a network was taught, so that what was seen in its photos is there."""
    return PHOTOS in contract.files


def candidate(
    served: OnnxNetwork, learn: Sequence[Look], held_out: Sequence[Shown], without: set[str], max_pixels: int
) -> Candidate:
    """The version that was taught these corrections, too.

    A photo that was taught and is corrected now has the right class from now on.

    Args:
        served: the version to compare with.
        learn: the corrections to learn from.
        held_out: the others.
        without: the SHA-256 digests of these.
        max_pixels: of a photo.

    Raises NetworkError for a network whose photos cannot be read.
    """
    before, unseen = taught_before(served.contract)
    corrected = {
        one.sha256: Seen(one.sha256[:12], one.label, one.sha256, one.looks, one.seen, one.integers) for one in learn
    }
    kept = [photo for photo in before if photo.sha256 not in corrected and photo.sha256 not in without]
    taught = teach(served.contract.classes, [*kept, *corrected.values()])
    network = served.with_weights(_filters_last(weights(taught)))
    rows = {photo.sha256: row for row, photo in enumerate(taught.photos)}
    labels = np.array([photo.label for photo in kept])
    old = unseen[[row for row, photo in enumerate(before) if photo.sha256 not in corrected and photo.sha256 not in without]]
    new = taught.unseen[[rows[photo.sha256] for photo in kept]]
    plain, twin = raw(served.contract), compare_twin(taught, served.contract)
    return Candidate(
        network=network,
        held_out=(compare(TAUGHT, old, new, labels),),
        corrections=compared(served, network, held_out, max_pixels),
        contract={name: value for name, value in plain.items() if name not in ("files", "int8")} | verdicts(taught, twin),
        files={PHOTOS: seen_in(taught)},
        metrics={"network": served.contract.network} | metrics(taught, twin),
        history=history(taught, plain["started_from"]),
    )


def taught_before(contract: Contract) -> tuple[list[Seen], np.ndarray]:
    """What was seen in the photos that were taught, and their scores in cross-validation, (n, classes).

    Raises NetworkError where they cannot be read.
    """
    path = contract.verified(PHOTOS)
    try:
        with np.load(path, allow_pickle=False) as file:
            plain = {name: file[name] for name in file.files}
        integers: list[np.ndarray | None] = [None] * len(plain["labels"])
        for row, means in zip(plain.get("rows", ()), plain.get("integers", ()), strict=True):
            integers[row] = means.astype(np.float32)
        columns = (plain["labels"].tolist(), plain["sha256"].astype(str).tolist(), plain["looks"], plain["means"], integers)
        seen = [
            Seen(name[:12], label, name, np.unpackbits(looks).astype(bool), means.astype(np.float32), twin)
            for label, name, looks, means, twin in zip(*columns, strict=True)
        ]
        return seen, plain["scores"]
    except (OSError, ValueError, LookupError) as error:
        raise NetworkError(f"{path} does not hold what was taught: {type(error).__name__} {error}") from error


def _filters_last(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights as `Network.with_weights` takes them, from those of the ONNX file."""
    return {name: values.transpose(2, 3, 1, 0) if values.ndim == 4 else values for name, values in arrays.items()}
