"""A cell of a resized picture comes in; the cells that it is made of, and how much of each, go out.

Cells are squares side by side, and both pictures have the same edges (half-pixel centres, as TensorFlow and ONNX resize).
"""

import math


def sampled(index: int, before: int, after: int, operation: str | None) -> tuple[int, int, float]:
    """The first and last of the `before` rows that row `index` of `after` is made of, and the share of the last, 0..1."""
    place = (index + 0.5) * before / after - 0.5
    if operation == "nearest":
        nearest = min(max(math.floor(place + 0.5), 0), before - 1)
        return nearest, nearest, 0.0
    place = min(max(place, 0.0), before - 1.0)
    first = math.floor(place)
    return first, min(first + 1, before - 1), place - first
