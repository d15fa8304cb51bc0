"""What an integer stands for: a kernel or what was seen of an activation comes in, a scale goes out."""

import numpy as np

from training.integers.observe import Seen

LEVELS = 255
"""Steps between the smallest and the largest byte."""

SAFE_PAIR = 128
"""The most that two neighbouring weights of one sign may add up to: 255 x 128 = 32,640 is below 2**15."""


def of_filters(kernel: np.ndarray, paired: bool) -> np.ndarray:
    """The scale of each filter of a kernel, (filters, channels, height, width) -> (filters,) float64: its largest weight
    becomes 127, or less where two `paired` neighbours of one sign would add up to more than SAFE_PAIR.
    """
    scale = np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / 127
    if paired:
        first, second = _neighbours(kernel)
        together = np.where(first * second > 0, np.abs(first + second), 0).max(axis=1)
        scale = np.maximum(scale, together / SAFE_PAIR)
    return np.asarray(np.maximum(scale, 1e-9))  # a filter may have died


def rounded(kernel: np.ndarray, scale: np.ndarray, paired: bool) -> np.ndarray:
    """A kernel in steps of its filters' scales, int8; of two `paired` neighbours that rounding made too large together, the
    one that it made larger is rounded the other way.
    """
    exact = kernel / scale[:, None, None, None]
    integers = np.clip(np.round(exact), -127, 127)
    if paired:
        first, second = _neighbours(integers)
        gained = [np.abs(whole) - np.abs(part) for whole, part in zip((first, second), _neighbours(exact), strict=True)]
        over = np.maximum(np.where(first * second > 0, np.abs(first + second), 0) - SAFE_PAIR, 0)
        less = np.where(gained[0] >= gained[1], over, 0), np.where(gained[0] < gained[1], over, 0)
        pairs = np.stack([first - np.sign(first) * less[0], second - np.sign(second) * less[1]], axis=-1)
        channels_last = (len(kernel), *kernel.shape[2:], kernel.shape[1])
        flat = pairs.reshape(len(kernel), -1)[:, : kernel[0].size]
        integers = flat.reshape(channels_last).transpose(0, 3, 1, 2)
    return np.asarray(integers, np.int8)


def _neighbours(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the second of each two weights of a filter whose products follow one another: channels last."""
    flat = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    flat = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
    return flat[:, ::2], flat[:, 1::2]


def of_activation(seen: Seen, low: float = -np.inf, high: float = np.inf, fitted: bool = True) -> tuple[float, int]:
    """The scale of an activation, and which integer, 0 to 255, stands for zero.

    The range lies within `low` and `high`, where the activation is cut off, and holds zero. It is the one that loses least
    by rounding what was seen, or all that was seen if it is not `fitted`.
    """
    least, most = max(min(0.0, seen.low), low), min(max(0.0, seen.high), high)
    values = np.clip(seen.sample, low, high)

    def error(share: float) -> float:
        step = share * (most - least) / LEVELS
        rounded = np.clip(np.round((values - share * least) / step), 0, LEVELS) * step + share * least
        return float(((rounded - values) ** 2).mean())

    share = min(np.linspace(0.3, 1, 36), key=error) if fitted and most > least else 1.0
    scale = float(np.float32(max(share * (most - least) / LEVELS, 1e-9)))
    return scale, round(-share * least / scale)
