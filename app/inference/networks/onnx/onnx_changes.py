"""The bytes of model.onnx come in; those of another network go out: one with other weights and muted channels, or the part
from one stage to the probabilities.

Every stage, kernel and bias keeps its name.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from app.inference.networks.onnx import onnx_file
from app.inference.networks.onnx.onnx_file import FLOAT, INITIALIZER, INPUT, NODE, OUTPUT, VALUE_INFO, fields
from app.inference.networks.onnx.rewriting import (
    BOOL,
    NODE_INPUT,
    NODE_OUTPUT,
    Field,
    Model,
    graph_of,
    message,
    node,
    renamed,
    rewritten,
    tensor,
    text,
    texts,
)

FIRST = "image/channels_first"
"""The input picture, (n, 3, height, width), as the graph's first node turns it."""

Change = Callable[[np.ndarray], np.ndarray]


def changed(model: Model, weights: Mapping[str, Change], muted: Mapping[str, np.ndarray]) -> bytes:
    """The model with other weights, and with some channels of stages at 0.

    `weights` has for the name of an array a function from its values to others, float32 of the same shape.
    `muted` says for a stage which of its channels, bool, (channels, 1, 1) or (units,). A node behind the stage chooses 0 for
    them. It does not multiply: infinity times 0 is no number, and -1 times 0 is a zero with a sign.
    """

    def change(graph: memoryview) -> Iterator[Field]:
        for number, value in fields(graph):
            if number == INITIALIZER and (name := text(value, onnx_file.NAME)) in weights:
                yield number, tensor(name, weights[name](onnx_file.tensor(message(value))[1]), FLOAT)
            elif number == NODE and (name := text(value, NODE_OUTPUT)) in muted:
                yield number, renamed(value, f"{name}/unmuted")
                yield INITIALIZER, tensor(f"{name}/muted", muted[name], BOOL)
                yield INITIALIZER, tensor(f"{name}/zero", np.zeros((), np.float32), FLOAT)
                yield NODE, node("Where", [f"{name}/muted", f"{name}/zero", f"{name}/unmuted"], name, f"{name}/muting")
            else:
                yield number, value

    return rewritten(model, change)


def rest(model: Model, start: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[bytes, list[str]]:
    """The part of the model that computes the probabilities from the stage `start`, and the names of its inputs: `start` and
    whatever else it reads that does not depend on it, such as the other way around a block.

    `shapes` are those of all stages and of FIRST as the graph has them, without n, which is 1.
    """
    nodes, weights = [], set()
    for number, value in graph_of(model):
        if number == NODE:
            nodes.append((texts(value, NODE_INPUT), texts(value, NODE_OUTPUT)))
        elif number == INITIALIZER:
            weights.add(text(value, onnx_file.NAME))
    reached, needed = {start}, {start: None}
    for read, made in nodes:  # in the order of the computation
        if not reached.isdisjoint(read):
            reached.update(made)
            needed |= dict.fromkeys(name for name in read if name and name not in reached and name not in weights)
    kept = reached - {start}

    def cut(graph: memoryview) -> Iterator[Field]:
        for number, value in fields(graph):
            if number == NODE and text(value, NODE_OUTPUT) not in kept:
                continue
            if number not in (INPUT, OUTPUT, VALUE_INFO):
                yield number, value
        for name in needed:
            yield INPUT, onnx_file.value_info(name, (1, *shapes[name]))
        yield OUTPUT, onnx_file.value_info("probabilities")

    return rewritten(model, cut), list(needed)
