"""A photo's bytes come in, the upright RGB image goes out, decoded here or, if its parser is a rare one, in a cage."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from app.inference import decode as here
from app.inference import image_checks
from app.inference.cage.confinement import possible
from app.inference.decode import MAX_PIXELS, Photo

if TYPE_CHECKING:
    from app.inference.cage.cage import Cage

log = logging.getLogger("catscope")

RARE = frozenset({"HEIC", "AVIF", "TIFF"})
"""The formats whose parsers are large, young or rarely used. The others are those that photos nearly always come in."""

CHOICES = ("none", "rare", "all")
"""What is decoded in a cage."""

_cage: "Cage | None" = None
_caged: frozenset[str] | None = frozenset()


def prepare(
    formats: str = "none",
    seconds: float = 8.0,
    environment: Mapping[str, str] = MappingProxyType({}),
    lost: Callable[[], object] = lambda: None,
) -> None:
    """Prepare for photos. From now on, those of `formats`, one of CHOICES, are decoded in a cage, each within `seconds`.
    Where the system has none, say so in the log, and decode here. `environment` is that of the processes, and `lost`
    is called whenever one was lost with its photo.

    The first photo of those formats starts the first process.
    """
    global _cage, _caged
    here.prepare()
    _caged = {"none": frozenset(), "rare": RARE, "all": None}[formats]
    missing = possible()
    if formats == "none" or missing:
        if missing and formats != "none":
            log.warning("photos are decoded in the service's own process, where a bug in a parser can end it: %s", missing)
        use(None)
    elif _cage is None or _cage.seconds != seconds:
        from app.inference.cage.cage import Cage  # has what other systems lack

        use(Cage(seconds, environment, lost=lost))


def use(cage: "Cage | None") -> None:
    """From now on, decode in that cage; here for None. What was used before is closed."""
    global _cage
    before, _cage = _cage, cage
    if before is not None:
        before.close()


def decode(data: bytes, max_pixels: int = MAX_PIXELS, side: int | None = None) -> Photo:
    """What `app.inference.decode.decode` does, wherever. Raises what it raises, and in a cage also:

    BrokenImage: the parser crashed on the photo, or took too long.
    Overloaded: the parser ran out of the memory that it may have.
    """
    cage, caged = _cage, _caged
    if cage is None or (caged is not None and image_checks.signature(data) not in caged):
        return here.decode(data, max_pixels, side)
    done = cage.decode(data, max_pixels, side)
    return Photo(
        done.image, done.width, done.height, done.format, done.animated, len(data), hashlib.sha256(data).hexdigest()
    )
