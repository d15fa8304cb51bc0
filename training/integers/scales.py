"""What an integer stands for: a kernel or what was seen of an activation comes in, a scale goes out."""

import numpy as np

from training.integers.observe import Seen

LEVELS = 255
SAFE_PAIR = 128
"""The most that two neighbouring weights of one sign may add up to: 255 x 128 = 32,640 is below 2**15."""


def of_filters(kernel: np.ndarray, paired: bool) -> np.ndarray:
    """The scale of each filter of a kernel, (filters, channels, height, width) -> (filters,) float64: its largest weight
    becomes 127, or less where two `paired` neighbours of one sign would add up to more than SAFE_PAIR.
    """
    scale = np.abs(kernel).reshape(len(kernel), -1).max(axis=1) / 127
    if paired:
        flat = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)  # as the products follow one another, channels last
        flat = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
        first, second = flat[:, ::2], flat[:, 1::2]
        together = np.where(first * second > 0, np.abs(first + second), 0).max(axis=1)
        scale = np.maximum(scale, together / SAFE_PAIR)
    return np.asarray(np.maximum(scale, 1e-9))  # a filter may have died


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
