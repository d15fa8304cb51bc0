"""An activation's name and a number come in, what the activation makes of it in float64 goes out.

Networks that people bring may have these as stages of their own. ReLU is not among them: it is a kind of stage for itself.
"""

import math
from collections.abc import Callable

SELU = (1.6732632423543772, 1.0507009873554805)
"""The two constants of Klambauer et al. 2017."""

_STEP = 1e-6


def activated(name: str, value: float, slope: float | None = None) -> float:
    """`name` of `value`; `slope` is what leaky_relu multiplies with below zero. Raises KeyError for an unknown name."""
    if name == "leaky_relu":
        return value if value >= 0 else value * (slope or 0.0)
    return _FUNCTIONS[name](value)


def steepness(name: str, value: float, slope: float | None = None) -> float:
    """How much the activation rises at `value`, by a central difference."""
    return (activated(name, value + _STEP, slope) - activated(name, value - _STEP, slope)) / (2 * _STEP)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _elu(value: float) -> float:
    """Clevert et al. 2016."""
    return value if value > 0 else math.expm1(value)


def _selu(value: float) -> float:
    return SELU[1] * (value if value > 0 else SELU[0] * math.expm1(value))


def _gelu(value: float) -> float:
    """Hendrycks and Gimpel 2016, with the error function itself."""
    return value * 0.5 * (1 + math.erf(value / math.sqrt(2)))


def _hard_sigmoid(value: float) -> float:
    return min(max(value / 6 + 0.5, 0.0), 1.0)


_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "relu6": lambda value: min(max(0.0, value), 6.0),
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": lambda value: value * _sigmoid(value),
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda value: value * _hard_sigmoid(value),
    "softplus": lambda value: max(value, 0.0) + math.log1p(math.exp(-abs(value))),
}

NAMES = ("leaky_relu", *_FUNCTIONS)
"""All that are known here."""
