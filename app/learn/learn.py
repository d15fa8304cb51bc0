"""A network's versions and its corrections come in; a new version in the store goes out, or why there is none."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from app.corrections.records import Correction
from app.errors import InvalidRequest
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.learn import remembering, reteaching, version
from app.learn.alone import alone
from app.learn.candidate import Candidate, write
from app.learn.corrected import FEWEST, MOST, Look, look, split, usable
from app.learn.promotion import refusals
from app.learn.rollback import set_aside
from app.teach.photos import Skipped
from app.teach.twin import eyes


@dataclass(frozen=True)
class Outcome:
    """What came of learning.

    `why` says why the version is not served; it is empty if it is. `folder` is None where nothing was written: then, and
    in a dry run. `learned` corrections were learned from; of `earlier` ones among them the store no longer has the photo.
    """

    network: str
    served: str
    version: str
    candidate: Candidate
    learned: int
    earlier: int
    skipped: tuple[Skipped, ...]
    why: tuple[str, ...]
    folder: Path | None


@dataclass(frozen=True)
class Limits:
    """How many pixels a photo may have, and how many are looked at at once."""

    max_pixels: int
    threads: int


def learn(
    versions: Mapping[str, OnnxNetwork],
    corrections: Sequence[Correction],
    photo: Callable[[str], bytes],
    networks: Path,
    limits: Limits,
    dry_run: bool = False,
    done: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Learn from corrections of a network, and write the version that comes of it if it may be served.

    Args:
        versions: the network's, the one that is served first.
        corrections: the latest first; of kind `corrected`.
        photo: has the bytes of a kept photo of that SHA-256.
        networks: the folder of the store's networks.
        limits: see Limits.
        dry_run: write nothing.
        done: is told after each photo how many have been looked at.

    Raises InvalidRequest when there are too few corrections, NetworkError for a network that cannot learn or was deleted
    meanwhile, and ValueError while another process learns.
    """
    served = next(iter(versions.values()))
    name = served.contract.network
    taught = reteaching.was_taught(served.contract)
    with alone(networks):
        base, known = (served, None) if taught else remembering.base_of(versions, served)
        integers = eyes(served.contract) if taught else None
        looked_at: list[Look | Skipped] = []
        with closing(look(corrections[:MOST], photo, base, limits.max_pixels, limits.threads, integers)) as looks:
            for one in looks:
                looked_at.append(one)
                done(len(looked_at))
        photos, skipped = usable(looked_at)
        if len(photos) < FEWEST:
            reason = f" {skipped[0].name}: {skipped[0].why}" if skipped else ""
            raise InvalidRequest(
                f"There are {len(photos)} corrections of {name} to learn from; at least {FEWEST} are needed.{reason}"
            )
        teaching, held_out = split(photos)
        if not teaching:
            raise InvalidRequest("All corrected photos look alike, so none is left to say whether the network has learned.")
        shown = [(one.label, photo(one.sha256)) for one in held_out]
        earlier: list[Look] = []
        if known is None:
            made = reteaching.candidate(served, teaching, shown, {one.sha256 for one in held_out}, limits.max_pixels)
        else:
            kept = {one.sha256 for one in photos}
            earlier = [one for one in remembering.carried(served.contract) if one.sha256 not in kept]
            made = remembering.candidate(base, served, known, [*earlier, *teaching], shown, limits.max_pixels)
        why = refusals(made.held_out, made.corrections)
        number = version.after([*versions, *set_aside(networks, name)])
        counts = {"learned": len(teaching), "earlier": len(earlier), "held_out": len(held_out)}
        folder = networks / name / number
        written = not why and not dry_run
        if written:
            write(made, folder, counts, served.contract.folder)
        return Outcome(
            network=name,
            served=served.contract.version,
            version=number,
            candidate=made,
            learned=len(teaching) + len(earlier),
            earlier=len(earlier),
            skipped=tuple(skipped),
            why=tuple(why),
            folder=folder if written else None,
        )
