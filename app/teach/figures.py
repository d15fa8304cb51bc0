"""Counts come in; measured figures, each with its 95 % interval, go out."""

from dataclasses import dataclass

Z = 1.959964
"""The normal distribution's 97.5th percentile: 95 % lie within."""


@dataclass(frozen=True)
class Figure:
    """A measured value with the ends of its 95 % interval and the number of photos it was measured on."""

    value: float
    low: float
    high: float
    count: int


def share(successes: int, count: int) -> Figure | None:
    """A fraction with its Wilson score interval (Wilson 1927); None when `count` is 0."""
    if count == 0:
        return None
    p = successes / count
    centre = (p + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * (p * (1 - p) / count + Z**2 / (4 * count**2)) ** 0.5
    return figure(p, max(0.0, centre - half), min(1.0, centre + half), count)


def figure(value: float, low: float, high: float, count: int) -> Figure:
    """The figure, to four decimals."""
    return Figure(round(float(value), 4), round(float(low), 4), round(float(high), 4), count)
