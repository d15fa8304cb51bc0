"""A contract comes in; the window and the receptive field of any unit go out.

A convolution or pooling reads a window that moves by a fixed step from unit to unit. So does the part of the photo that it
sees through all earlier stages: its receptive field (as in Araujo, Norris and Sim 2019, "Computing receptive fields of
convolutional neural networks").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.inference.explain.resizing import sampled
from app.inference.networks.contract import Contract, Stage

Pair = tuple[int, int]


@dataclass(frozen=True)
class Box:
    """A rectangle of cells: rows `top` to `bottom` and columns `left` to `right`, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    def clipped(self, height: int, width: int) -> "Box":
        """The part of the rectangle that lies inside a picture of that size."""
        return Box(max(0, self.top), max(0, self.left), min(height, self.bottom), min(width, self.right))

    def union(self, other: "Box") -> "Box":
        """The smallest rectangle around this one and another."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Window:
    """What a stage's units see, in (rows, columns): unit (r, c) sees `size` cells from `offset` + (r, c) x `step`.

    Cells beyond the picture are padding.
    """

    size: Pair
    step: Pair
    offset: Pair

    def box(self, row: int, column: int) -> Box:
        """What unit (`row`, `column`) sees, padding included."""
        top, left = self.offset[0] + row * self.step[0], self.offset[1] + column * self.step[1]
        return Box(top, left, top + self.size[0], left + self.size[1])

    def through(self, earlier: "Window") -> "Window":
        """The window traced back through `earlier`, the window of the units that it reads."""
        return Window(
            size=_pair(lambda a: (self.size[a] - 1) * earlier.step[a] + earlier.size[a]),
            step=_pair(lambda a: self.step[a] * earlier.step[a]),
            offset=_pair(lambda a: earlier.offset[a] + self.offset[a] * earlier.step[a]),
        )

    def union(self, other: "Window") -> "Window":
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
    """What the units of `stage` see of their input stage; all of it if the stage has no window, or one that does not move by
    whole cells (`seen` has each unit's).
    """
    height, width = size_of(contract, stage.inputs[0])
    if len(stage.shape) != 3 or stage.kind == "resizing":
        return Window((height, width), (0, 0), (0, 0))
    if stage.cut:
        return Window((1, 1), (1, 1), stage.cut)
    if stage.zeros:
        return Window((1, 1), (1, 1), (-stage.zeros[0], -stage.zeros[1]))
    if stage.kernel is None or stage.stride is None:
        return Window((1, 1), (1, 1), (0, 0))
    sizes, steps, before = stage.kernel, stage.stride, (height, width)

    def first(axis: int) -> int:
        """Minus the padding before the picture; an odd row or column of "same" padding comes after it."""
        if stage.padding != "same":
            return 0
        missing = (stage.shape[axis] - 1) * steps[axis] + sizes[axis] - before[axis]
        return -(max(0, missing) // 2)

    return Window(sizes, steps, _pair(first))


def seen(contract: Contract, stage: Stage, row: int, column: int) -> Box:
    """What unit (`row`, `column`) of a stage sees of its input stage, padding included."""
    if stage.kind != "resizing":
        return window(contract, stage).box(row, column)
    before = size_of(contract, stage.inputs[0])
    top, bottom, _ = sampled(row, before[0], stage.shape[0], stage.operation)
    left, right, _ = sampled(column, before[1], stage.shape[1], stage.operation)
    return Box(top, left, bottom + 1, right + 1)


def receptive_field(contract: Contract, stage: Stage) -> Window:
    """What the units of `stage` see of the network's input picture, through all the stages before it.

    An upper bound: after a pooling that drops an odd last row, later padding counts as that row. `pixels` is exact.
    """
    fields_of = {"image": Window((1, 1), (1, 1), (0, 0))}

    def of(name: str) -> Window:
        if name not in fields_of:
            layer = contract.stage(name)
            assert layer is not None  # a contract's inputs are its own layers
            own = window(contract, layer)
            fields = [own.through(of(source)) for source in layer.inputs]
            joined = fields[0]
            for field in fields[1:]:
                joined = joined.union(field)
            fields_of[name] = joined
        return fields_of[name]

    return of(stage.name)


def describe(contract: Contract, stage: Stage) -> dict[str, Any]:
    """A stage in plain values: what the contract states, and its `window` and `receptive_field`."""
    windows = {"window": window(contract, stage), "receptive_field": receptive_field(contract, stage)}
    return vars(stage) | {name: vars(one) for name, one in windows.items()}


def pixels(contract: Contract, stage: Stage, row: int, column: int) -> Box:
    """What one unit sees of the network's input picture, exactly: padding is excluded at every stage."""
    boxes = {stage.name: Box(row, column, row + 1, column + 1)}
    for name in consumers_first(contract, stage):
        layer = contract.stage(name)
        assert layer is not None  # see receptive_field
        box = boxes[name]
        first = seen(contract, layer, box.top, box.left)
        last = seen(contract, layer, box.bottom - 1, box.right - 1)
        for source in layer.inputs:
            size = size_of(contract, source)
            part = Box(first.top, first.left, last.bottom, last.right).clipped(*size)
            if layer.kind == "multiplication" and size == (1, 1):  # one pixel multiplies every position
                part = Box(0, 0, 1, 1)
            boxes[source] = boxes[source].union(part) if source in boxes else part
    return boxes["image"]


def consumers_first(contract: Contract, stage: Stage) -> list[str]:
    """The stage and all its ancestors except `image`, each after every stage that reads it."""
    ordered: dict[str, None] = {}
    waiting = [(stage.name, False)]
    while waiting:
        name, done = waiting.pop()
        if done:
            ordered[name] = None
        elif name not in ordered and name != "image":
            known = contract.stage(name)
            assert known is not None  # see receptive_field
            waiting.append((name, True))
            waiting += [(source, False) for source in known.inputs]
    return list(reversed(ordered))


def size_of(contract: Contract, name: str) -> Pair:
    """(height, width) of a stage's picture, or of the `image`; (1, 1) after flattening."""
    shape = shape_of(contract, name)
    return (shape[0], shape[1]) if len(shape) == 3 else (1, 1)


def flattened(contract: Contract, stage: Stage) -> tuple[int, ...] | None:
    """The shape of the picture that was flattened before a fully connected stage; None if there was none."""
    before = contract.stage(stage.inputs[0])
    return shape_of(contract, before.inputs[0]) if before and before.kind == "flatten" else None


def shape_of(contract: Contract, name: str) -> tuple[int, ...]:
    """The shape of a stage's output, or of the `image`."""
    if name == "image":
        return contract.input_shape
    layer = contract.stage(name)
    assert layer is not None  # see receptive_field
    return layer.shape
