"""The hashes of photos come in; which split each belongs to goes out.

A photo's place is the fraction that its SHA-256 begins with: the same photos are always split in the same way, whatever
their names. The lowest places are held out. Of a small class a twentieth would be a photo or none, so each split that is
held out gets a minimum of each class, the lowest places that are left.
"""

SPLITS = ("train", "validation", "calibration")
HELD_OUT = 0.05
"""Share of the photos that goes to validation, and again to calibration."""

MINIMUM = 1 / 8
"""Share of a small class that goes to validation, and again to calibration, as long as these are at most MOST photos."""

MOST = 20


def place(digest: str) -> float:
    """From 0 to 1, by the SHA-256 of a photo's bytes in hex."""
    return int(digest[:8], 16) / 16**8


def split_of(digest: str) -> str:
    """The split of a photo of a large class; its name and the other photos do not matter."""
    if place(digest) < HELD_OUT:
        return "validation"
    return "calibration" if place(digest) < 2 * HELD_OUT else "train"


def assign(digests: list[str], groups: list[int] | None = None) -> list[str]:
    """The split of each photo of one class; those of one group, which look alike, come into the same.

    A class of three photos or more has one in each split, unless too many of them look alike.
    """
    groups = groups or list(range(len(digests)))
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    first = {group: min(digests[index] for index in indices) for group, indices in members.items()}
    minimum = min(MOST, max(1, int(len(first) * MINIMUM)))
    left = sorted(first, key=lambda group: first[group])
    chosen: dict[int, str] = {}
    for name in ("validation", "calibration"):
        own = sum(split_of(first[group]) == name for group in left)
        for group in left[: max(own, minimum)]:
            chosen[group] = name
        left = left[max(own, minimum) :]
    return [chosen.get(group, "train") for group in groups]
