"""Activation functions and their derivatives in float64, by name.

Imported networks may have these as separate stages. ReLU is not among them: it has its own stage kind.
"""

import math
from collections.abc import Callable

SELU = (1.6732632423543772, 1.0507009873554805)
"""The two constants of Klambauer et al. 2017."""

_STEP = 1e-6


def activate(name: str, value: float, slope: float | None = None) -> float:
    """Apply activation `name` to `value`; `slope` is the factor below zero of leaky_relu and prelu.

    Raises KeyError for an unknown name.
    """
    if name in ("leaky_relu", "prelu"):
        return value if value >= 0 else value * (slope or 0.0)
    return _FUNCTIONS[name](value)


def derivative(name: str, value: float, slope: float | None = None) -> float:
    """The activation's derivative at `value`, by a central difference."""
    return (activate(name, value + _STEP, slope) - activate(name, value - _STEP, slope)) / (2 * _STEP)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _elu(value: float) -> float:
    """Clevert et al. 2016."""
    return value if value > 0 else math.expm1(value)


def _selu(value: float) -> float:
    return SELU[1] * (value if value > 0 else SELU[0] * math.expm1(value))


def _gelu(value: float) -> float:
    """Hendrycks and Gimpel 2016, exact, with the error function."""
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
"""All supported activations."""
