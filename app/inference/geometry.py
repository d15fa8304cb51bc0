"""A contract comes in; which part of another picture a unit of a stage looks at goes out, for any stage and for the photo.

What a convolution or pooling looks at is a rectangle that moves by a fixed step from unit to unit. So does what it looks
at through the stages before it: its receptive field (as in Araujo, Norris and Sim 2019, "Computing receptive fields of
convolutional neural networks").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.inference.contract import Contract, Stage

Pair = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """A rectangle of cells: rows `top` to `bottom` and columns `left` to `right`, the last of each not included."""

    top: int
    left: int
    bottom: int
    right: int

    def clipped(self, height: int, width: int) -> "Box":
        """The part of the rectangle that lies inside a picture of that size."""
        return Box(max(0, self.top), max(0, self.left), min(height, self.bottom), min(width, self.right))

    def joined(self, other: "Box") -> "Box":
        """The smallest rectangle around this one and another."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Window:
    """What the units of a stage see, each (rows, columns): unit (r, c) sees `size` cells from `offset` + (r, c) x `step`.

    A negative offset, and an end beyond the picture, is padding.
    """

    size: Pair
    step: Pair
    offset: Pair

    def box(self, row: int, column: int) -> Box:
        """What unit (`row`, `column`) sees, padding included."""
        top, left = self.offset[0] + row * self.step[0], self.offset[1] + column * self.step[1]
        return Box(top, left, top + self.size[0], left + self.size[1])

    def through(self, earlier: "Window") -> "Window":
        """What is seen when this window lies on units that themselves look through `earlier`."""
        return Window(
            size=_pair(lambda a: (self.size[a] - 1) * earlier.step[a] + earlier.size[a]),
            step=_pair(lambda a: self.step[a] * earlier.step[a]),
            offset=_pair(lambda a: earlier.offset[a] + self.offset[a] * earlier.step[a]),
        )

    def joined(self, other: "Window") -> "Window":
        """The smallest window around this one and one of the same step."""
        first = _pair(lambda a: min(self.offset[a], other.offset[a]))
        return Window(
            size=_pair(lambda a: max(self.offset[a] + self.size[a], other.offset[a] + other.size[a]) - first[a]),
            step=self.step,
            offset=first,
        )


def _pair(of_axis: Callable[[int], int]) -> Pair:
    return of_axis(0), of_axis(1)


def window(contract: Contract, stage: Stage) -> Window:
    """What the units of `stage` see of the stage it computes from; all of it where it has no window of its own."""
    height, width = size_of(contract, stage.inputs[0])
    if len(stage.shape) != 3:
        return Window((height, width), (0, 0), (0, 0))
    if stage.zeros:
        return Window((1, 1), (1, 1), (-stage.zeros[0], -stage.zeros[1]))
    if stage.kernel is None or stage.stride is None:
        return Window((1, 1), (1, 1), (0, 0))
    sizes, steps, before = stage.kernel, stage.stride, (height, width)

    def first(axis: int) -> int:
        """Minus the padding before the picture; the odd row or column of "same" padding lies behind it."""
        if stage.padding != "same":
            return 0
        missing = (stage.shape[axis] - 1) * steps[axis] + sizes[axis] - before[axis]
        return -(max(0, missing) // 2)

    return Window(sizes, steps, _pair(first))


def receptive_field(contract: Contract, stage: Stage) -> Window:
    """What the units of `stage` see of the network's input picture, through all the stages before it.

    At most: behind a pooling that leaves out an odd last row, later padding is counted as that row. `pixels` is exact.
    """
    seen = {"image": Window((1, 1), (1, 1), (0, 0))}

    def of(name: str) -> Window:
        if name not in seen:
            found = contract.stage(name)
            assert found is not None  # a contract's inputs are its own layers
            own = window(contract, found)
            fields = [own.through(of(source)) for source in found.inputs]
            joined = fields[0]
            for field in fields[1:]:
                joined = joined.joined(field)
            seen[name] = joined
        return seen[name]

    return of(stage.name)


def described(contract: Contract, stage: Stage) -> dict[str, Any]:
    """Everything about a stage in plain values: the contract's, and its `window` and `receptive_field`."""
    windows = {"window": window(contract, stage), "receptive_field": receptive_field(contract, stage)}
    return vars(stage) | {name: vars(seen) for name, seen in windows.items()}


def pixels(contract: Contract, stage: Stage, row: int, column: int) -> Box:
    """What one unit sees of the network's input picture, exactly: at each stage what lies in padding is left out."""
    seen = {stage.name: Box(row, column, row + 1, column + 1)}
    for name in _readers_first(contract, stage):
        found = contract.stage(name)
        assert found is not None  # see receptive_field
        own, box = window(contract, found), seen[name]
        first, last = own.box(box.top, box.left), own.box(box.bottom - 1, box.right - 1)
        for source in found.inputs:
            size = size_of(contract, source)
            part = Box(first.top, first.left, last.bottom, last.right).clipped(*size)
            if found.kind == "multiplication" and size == (1, 1):  # one pixel multiplies every place
                part = Box(0, 0, 1, 1)
            seen[source] = seen[source].joined(part) if source in seen else part
    return seen["image"]


def _readers_first(contract: Contract, stage: Stage) -> list[str]:
    """The stage and all that it computes from, each after everything that reads it, without the `image`."""
    found: dict[str, None] = {}
    waiting = [(stage.name, False)]
    while waiting:
        name, done = waiting.pop()
        if done:
            found[name] = None
        elif name not in found and name != "image":
            known = contract.stage(name)
            assert known is not None  # see receptive_field
            waiting.append((name, True))
            waiting += [(source, False) for source in known.inputs]
    return list(reversed(found))


def size_of(contract: Contract, name: str) -> Pair:
    """(height, width) of a stage's picture, or of the `image`; (1, 1) where there is no picture left."""
    shape = shape_of(contract, name)
    return (shape[0], shape[1]) if len(shape) == 3 else (1, 1)


def shape_of(contract: Contract, name: str) -> tuple[int, ...]:
    """The shape of what a stage computes, or of the `image`."""
    if name == "image":
        return contract.input_shape
    found = contract.stage(name)
    assert found is not None  # see receptive_field
    return found.shape
