"""Anybody's trained Keras image classifier comes in; the same function as a plain list of stages goes out.

People's networks hold layers that only help training, activations inside of other layers, normalisations, networks inside of
networks. What is served is a list of steps that each do one thing which can be shown and worked out again: so layers that do
nothing when a photo is answered are left out, a batch normalisation becomes part of the convolution before it (or a factor
and a shift for each channel, which is a depthwise convolution of one pixel), a separable convolution becomes its two parts,
and scores become probabilities. `export` compares the two on photos.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from keras.src.applications.convnext import LayerScale
from scipy.special import expit, softmax

from training.errors import TrainingError
from training.importing import archive
from training.importing.colours import Colours, as_stage, calculated, preprocessing
from training.importing.layer_rules import REWRITES
from training.importing.plain_layers import PROBABILITIES, SCORES, PlainLayers, Scaled, Tensor


def load(path: Path) -> keras.Model:
    """The network in a .keras or .h5 file. Raises TrainingError when there is none, or one that does not classify photos."""
    model = archive.read(path)
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0])
    if not isinstance(model, keras.Model) or not hasattr(model, "inputs"):
        raise TrainingError(f"{path} is no functional or sequential network, whose layers could be listed")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TrainingError(f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one photo, one answer")
    shape = model.inputs[0].shape
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:]:
        raise TrainingError(f"{path} takes {tuple(shape[1:])}; it must take (height, width, 3) with a fixed size")
    return model


def rewritten(model: keras.Model, classes: int, before: Colours | None = None) -> tuple[keras.Model, str]:
    """The plain network that computes `model(before.applied(x))` for photos x, (n, height, width, 3), 0..255, and what the
    last thing in it is: softmax, scores, sigmoid or one score.

    Its last stage is `probabilities`, (n, `classes`). A network with one output, a sigmoid's, answers the second of two
    classes, as Keras numbers them. Raises TrainingError for a layer that has no plain counterpart.
    """
    photo = keras.Input(model.inputs[0].shape[1:], name="image")
    rewriting = Rewriting()
    before = before or preprocessing()
    x = rewriting.answer(model, Colours(photo, before.matrix, before.shift))
    if len(x.shape) != 2:
        raise TrainingError(f"the network answers {tuple(x.shape[1:])}; it must answer a number for each class")
    x, ending = rewriting.answered(x, classes)
    result = keras.Model(photo, x, name=model.name if model.name.isidentifier() else "brought")
    for layer in result.layers:
        if layer.name in rewriting.weights:
            layer.set_weights(rewriting.weights[layer.name])
    return result, ending


def difference(theirs: np.ndarray, ours: np.ndarray, ending: str) -> float:
    """How far the plain network's probabilities lie from what the network itself answers, both (n, outputs).

    `ending` is what that is: softmax, scores, sigmoid or score.
    """
    if ending == "scores":
        theirs = softmax(theirs, axis=1)
    if ending == "score":
        theirs = expit(theirs)
    return float(np.abs((ours[:, 1:] if theirs.shape[1] == 1 else ours) - theirs).max())


class Rewriting(PlainLayers):
    """A network followed along Keras' own record of its layers' calls, with a plain layer made for each."""

    def __init__(self) -> None:
        super().__init__()
        self._coloured: dict[int, tuple[Colours, Tensor]] = {}

    def answer(self, model: keras.Model, x: Colours) -> Tensor:
        """What a whole network makes of a photo's colours."""
        return self._stage(self.through(model, x))

    def through(self, model: keras.Model, x: Tensor | Colours) -> Tensor:
        """What `model` makes of `x`, in plain layers; networks inside of it are gone through too.

        It follows Keras' own record of which layer was called on what, since one layer may have been called twice.
        """
        functional = keras.Model(model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else model
        made = {id(functional.inputs[0]): x}
        nodes = [
            node for depth in sorted(functional._nodes_by_depth, reverse=True) for node in functional._nodes_by_depth[depth]
        ]
        readers: dict[int, int] = {}
        for tensor in (tensor for node in nodes for tensor in node.input_tensors):
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
        for node in nodes:
            if node.is_input:
                continue
            alone = all(readers[id(t)] == 1 and t is not functional.inputs[0] for t in node.input_tensors)
            operation = node.operation
            if isinstance(operation, layers.Layer):
                inputs = [made[id(tensor)] for tensor in node.input_tensors]
                result = self._rewritten(operation, inputs, alone)
            else:
                arguments = [_known(value, made) for value in (*node.arguments.args, *node.arguments.kwargs.values())]
                result = self._calculated(operation, arguments)
            made[id(node.outputs[0])] = result
        return made[id(functional.outputs[0])]

    def _stage(self, x: Tensor | Colours) -> Tensor:
        """Colours as a stage, made once however many layers read them; tensors unchanged."""
        if not isinstance(x, Colours):
            return x
        if id(x) not in self._coloured:
            of_photo = isinstance(x.tensor._keras_history.operation, layers.InputLayer)
            self._coloured[id(x)] = (x, as_stage(self, "preprocess" if of_photo else "calculated", x))
        return self._coloured[id(x)][1]

    def _rewritten(self, layer: Any, inputs: list[Tensor], alone: bool) -> Tensor:
        """What one layer does, in plain ones; `alone` says that nobody else reads its inputs."""
        if isinstance(layer, keras.Model):
            return self.through(layer, inputs[0])
        if isinstance(layer, layers.Identity):
            return inputs[0]
        inputs = [self._stage(x) for x in inputs]
        if isinstance(layer, layers.BatchNormalization):
            return self._normalised(layer, inputs[0], alone)
        if isinstance(layer, LayerScale):
            gamma = np.asarray(layer.get_weights()[0], np.float64)
            return self._scaled(layer.name, inputs[0], gamma, np.zeros_like(gamma), alone)
        rewrite = next((rule for kind, rule in REWRITES.items() if isinstance(layer, kind)), None)
        if rewrite is None:
            known = ", ".join(kind.__name__ for kind in (*REWRITES, layers.BatchNormalization))
            raise TrainingError(
                f"layer {layer.name} is a {type(layer).__name__}, which cannot be shown here; known are {known}"
            )
        if any(isinstance(x, Scaled) for x in inputs) and not isinstance(layer, layers.Dense):
            raise TrainingError(
                f"a batch normalisation comes before {layer.name}, and neither takes it in; that is not shown here"
            )
        x: Tensor = rewrite(
            self, layer, inputs if isinstance(layer, layers.Add | layers.Multiply | layers.Concatenate) else inputs[0]
        )
        return x

    def _calculated(self, operation: Any, arguments: list[Any]) -> Tensor | Colours:
        """Arithmetic that stands in a network without a layer, as `x / 127.5 - 1` and `x + y` do."""
        kind = type(operation).__name__
        tensors = [x for x in arguments if isinstance(x, keras.KerasTensor | Colours)]
        if len(tensors) == len(arguments) == 2 and kind in ("Add", "Multiply"):
            return self.add(getattr(layers, kind)(name=self.named(operation.name)), [self._stage(x) for x in tensors])
        if not any(isinstance(x, Scaled) for x in arguments):
            colours = calculated(operation, arguments)
            if colours is not None:
                return colours
        raise TrainingError(f"the calculation {operation.name} ({kind}) cannot be shown here; make it a layer that can")

    def _normalised(self, layer: Any, x: Tensor, alone: bool) -> Tensor:
        """Batch normalisation (Ioffe and Szegedy 2015), whose mean and variance stand still once the network is trained."""
        mean, variance = (np.asarray(w, np.float64) for w in (layer.moving_mean, layer.moving_variance))
        factor = (np.asarray(layer.gamma, np.float64) if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
        shift = (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * factor
        return self._scaled(layer.name, x, factor, shift, alone)

    def _scaled(self, name: str, x: Tensor, factor: np.ndarray, shift: np.ndarray, alone: bool) -> Tensor:
        """A factor and a shift for each channel, inside of the weights before them where that is possible."""
        before = self.linear.get(id(x))
        if len(x.shape) == 2 and (before is None or not alone):
            return Scaled(x, factor, shift)
        if before is None or not alone:
            return self.channelwise(name, x, factor, shift)
        kernel, bias = self.weights[before.name]
        depthwise = isinstance(before, layers.DepthwiseConv2D)
        self.weights[before.name] = [
            kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor),
            bias * factor + shift,
        ]
        return x

    def answered(self, x: Tensor, classes: int) -> tuple[Tensor, str]:
        """`x` as probabilities, and what it was: of scores their softmax, of one sigmoid or its score the shares of both
        classes.
        """
        last, ending = x._keras_history.operation, "scores"
        if isinstance(last, layers.Softmax):
            x, ending = last.input, "softmax"
        elif isinstance(last, layers.Activation | layers.ReLU | layers.LeakyReLU | layers.PReLU):
            if x.shape[-1] != 1 or getattr(last, "activation", None) is not keras.activations.sigmoid:
                raise TrainingError(f"the network ends in {last.name}; it must end in scores, one sigmoid, or softmax")
            x, ending = last.input, "sigmoid"
        elif x.shape[-1] == 1:
            ending = "score"
        if x.shape[-1] == 1 and classes == 2 and ending != "softmax":  # sigmoid(z) is the second share of softmax(0, z)
            before = self.linear.get(id(x))
            if not isinstance(before, layers.Dense):
                raise TrainingError("a network with one output must end in a fully connected layer, with or without sigmoid")
            kernel, bias = self.weights.pop(before.name)
            twice = [np.concatenate([np.zeros_like(part), part], axis=-1) for part in (kernel, bias)]
            x = self.add(layers.Dense(2, name=SCORES), before.input, twice)
        elif x.shape[-1] != classes:
            raise TrainingError(f"the network answers {x.shape[-1]} classes, and {classes} are named")
        return (last.output if ending == "softmax" else self.add(layers.Softmax(name=PROBABILITIES), x)), ending


def _known(value: Any, made: dict[int, Any]) -> Any:
    """An argument of a calculation, with what was made in the place of the tensors in it."""
    if isinstance(value, list | tuple):
        return [_known(one, made) for one in value]
    return made[id(value)] if isinstance(value, keras.KerasTensor) else value
