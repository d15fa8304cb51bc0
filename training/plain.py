"""Anybody's trained Keras image classifier comes in; the same function as a plain list of stages goes out.

People's networks hold layers that only help training, activations inside of other layers, normalisations, networks inside of
networks. What is served is a list of steps that each do one thing which can be shown and worked out again: so layers that do
nothing when a photo is answered are left out, a batch normalisation becomes part of the convolution before it (or a factor
and a shift for each channel, which is a depthwise convolution of one pixel), a separable convolution becomes its two parts,
and scores become probabilities. `export` compares the two on photos.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from scipy.special import expit, softmax

from app.inference import activations
from training.errors import TrainingError
from training.rewrites import REWRITES, Scaled

Tensor = Any
"""One of Keras's symbolic tensors."""

IDLE = (layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout,
        layers.ActivityRegularization, layers.Identity)  # fmt: skip
"""Layers that pass on what they get unless the network learns; so do those whose name begins with Random."""

FUSED = ("relu", "relu6")
"""Activations that stay inside of a convolution, as its last step."""

LEAKY = 0.2
"""The slope below zero of Keras's activation `leaky_relu`; its layer LeakyReLU has one of its own."""

PROBABILITIES, SCORES = "probabilities", "scores"


def load(path: Path) -> keras.Model:
    """The network in a .keras file. Raises TrainingError when there is none, or one that does not classify photos."""
    try:
        model = keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError) as error:
        raise TrainingError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise TrainingError(f"{path} was saved before it was built; call it on a photo once, then save it")
        model = keras.Model(model.inputs[0], model.outputs[0])
    if not isinstance(model, keras.Model) or not hasattr(model, "inputs"):
        raise TrainingError(f"{path} is no functional or sequential network, whose layers could be listed")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise TrainingError(f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one photo, one answer")
    shape = model.inputs[0].shape
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:]:
        raise TrainingError(f"{path} takes {tuple(shape[1:])}; it must take (height, width, 3) with a fixed size")
    return model


def rewritten(model: keras.Model, classes: int, scale: float = 1.0, offset: float = 0.0) -> tuple[keras.Model, str]:
    """The plain network that computes `model(x * scale + offset)` for photos x, (n, height, width, 3), 0..255, and what the
    last thing in it is: softmax, scores, sigmoid or one score.

    Its last stage is `probabilities`, (n, `classes`). A network with one output, a sigmoid's, answers the second of two
    classes, as Keras numbers them. Raises TrainingError for a layer that has no plain counterpart.
    """
    photo = keras.Input(model.inputs[0].shape[1:], name="image")
    rewriting = Rewriting()
    x = photo
    if (scale, offset) != (1.0, 0.0):
        x = rewriting.add(layers.Rescaling(scale, offset, name="rescale"), x)
    x = rewriting.through(model, x)
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


class Rewriting:
    """The plain layers made so far. Their weights are kept aside until all are made, since folding changes them."""

    def __init__(self) -> None:
        self.weights: dict[str, list[np.ndarray]] = {}
        self._names = {"image", "rescale", SCORES, PROBABILITIES}
        self._linear: dict[int, keras.layers.Layer] = {}  # by the identity of its output: what a normalisation folds into
        self._kept: list[Tensor] = []  # so that no identity is given twice

    def add(self, layer: keras.layers.Layer, x: Tensor, weights: list[np.ndarray] | None = None) -> Tensor:
        """`layer` applied to `x`; its `weights` are set in the end."""
        if weights:
            self.weights[layer.name] = weights
        result = layer(x)
        self._kept.append(result)
        return result

    def named(self, wanted: str) -> str:
        """A name that no stage has yet, made of letters that an address can hold."""
        plain = "".join(c if c.isalnum() or c in "_-." else "_" for c in wanted)
        found, number = plain, 1
        while found in self._names:
            found, number = f"{plain}_{number}", number + 1
        self._names.add(found)
        return found

    def through(self, model: keras.Model, x: Tensor) -> Tensor:
        """What `model` makes of `x`, in plain layers; networks inside of it are gone through too.

        It follows Keras's own record of which layer was called on what, since one layer may have been called twice.
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
            inputs = [made[id(tensor)] for tensor in node.input_tensors]
            constants = [value for value in node.arguments.args if isinstance(value, int | float)]
            alone = all(readers[id(t)] == 1 and t is not functional.inputs[0] for t in node.input_tensors)
            operation = node.operation
            made[id(node.outputs[0])] = (
                self._rewritten(operation, inputs, alone)
                if isinstance(operation, layers.Layer)
                else self._calculated(operation, inputs, constants)
            )
        return made[id(functional.outputs[0])]

    def _rewritten(self, layer: Any, inputs: list[Tensor], alone: bool) -> Tensor:
        """What one layer does, in plain ones; `alone` says that nobody else reads its inputs."""
        if isinstance(layer, keras.Model):
            return self.through(layer, inputs[0])
        if isinstance(layer, IDLE) or type(layer).__name__.startswith("Random"):
            return inputs[0]
        rewrite = next((found for kind, found in REWRITES.items() if isinstance(layer, kind)), None)
        if rewrite is None:
            known = ", ".join(kind.__name__ for kind in REWRITES)
            raise TrainingError(
                f"layer {layer.name} is a {type(layer).__name__}, which cannot be shown here; known are {known}"
            )
        if isinstance(layer, layers.BatchNormalization):
            return self._normalised(layer, inputs[0], alone)
        if any(isinstance(x, Scaled) for x in inputs) and not isinstance(layer, layers.Dense):
            raise TrainingError(
                f"a batch normalisation comes before {layer.name}, and neither takes it in; that is not shown here"
            )
        x: Tensor = rewrite(
            self, layer, inputs if isinstance(layer, layers.Add | layers.Multiply | layers.Concatenate) else inputs[0]
        )
        return x

    def _calculated(self, operation: Any, inputs: list[Tensor], constants: list[float]) -> Tensor:
        """Arithmetic that stands in a network without a layer, as `x / 127.5 - 1` and `x + y` do."""
        kind, name = type(operation).__name__, self.named(operation.name)
        if len(inputs) == 2 and kind in ("Add", "Multiply"):
            return self.add(getattr(layers, kind)(name=name), inputs)
        if len(inputs) == len(constants) == 1:
            (constant,) = constants
            scales = {"TrueDivide": (1 / (constant or 1), 0), "Divide": (1 / (constant or 1), 0), "Multiply": (constant, 0)}
            found = (scales | {"Add": (1, constant), "Subtract": (1, -constant)}).get(kind)
            if found and not isinstance(inputs[0], Scaled):
                return self.add(layers.Rescaling(*map(float, found), name=name), inputs[0])
        raise TrainingError(f"the calculation {operation.name} ({kind}) cannot be shown here; make it a layer that can")

    def _normalised(self, layer: Any, x: Tensor, alone: bool) -> Tensor:
        """Batch normalisation (Ioffe and Szegedy 2015), whose mean and variance stand still once the network is trained."""
        mean, variance = (np.asarray(w, np.float64) for w in (layer.moving_mean, layer.moving_variance))
        factor = (np.asarray(layer.gamma, np.float64) if layer.scale else 1.0) / np.sqrt(variance + layer.epsilon)
        shift = (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * factor
        before = self._linear.get(id(x))
        if len(x.shape) == 2 and (before is None or not alone):
            return Scaled(x, factor, shift)
        if before is None or not alone:
            return self.channelwise(layer.name, x, factor, shift)
        kernel, bias = self.weights[before.name]
        depthwise = isinstance(before, layers.DepthwiseConv2D)
        self.weights[before.name] = [
            kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor),
            bias * factor + shift,
        ]
        return x

    def channelwise(self, name: str, x: Tensor, factor: np.ndarray, shift: np.ndarray) -> Tensor:
        """A factor and a shift for each channel: of pictures a depthwise convolution of one pixel."""
        ones = np.ones((1, 1, x.shape[-1], 1))
        plain = layers.DepthwiseConv2D(1, name=self.named(name))
        return self.add(plain, x, [ones * np.reshape(factor, (1, 1, -1, 1)), np.zeros(x.shape[-1]) + shift])

    def weighted(self, layer: Any, x: Tensor, make: Callable[..., Any], weights: list[np.ndarray]) -> Tensor:
        """A convolution or a fully connected layer, and its activation behind it where it cannot stay inside of it."""
        function = layer.activation.__name__
        inside = function in FUSED and not isinstance(layer, layers.Dense)
        plain = make(activation=function if inside else None, use_bias=True, name=self.named(unreserved(layer.name)))
        kernel = np.asarray(weights[0], np.float64)
        count = kernel.shape[2] * kernel.shape[3] if isinstance(plain, layers.DepthwiseConv2D) else kernel.shape[-1]
        x = self.add(plain, x, [kernel, np.asarray(weights[1] if len(weights) > 1 else np.zeros(count), np.float64)])
        if not inside:
            self._linear[id(x)] = plain
            x = self.activated(f"{unreserved(layer.name)}_{function}", function, x)
        return x

    def activated(self, name: str, function: str, x: Tensor) -> Tensor:
        """An activation as a stage of its own."""
        if function == "linear":
            return x
        if function == "relu":
            return self.add(layers.ReLU(name=self.named(name)), x)
        if function == "softmax":
            return self.add(layers.Softmax(name=PROBABILITIES), x)
        if function == "leaky_relu":
            return self.add(layers.LeakyReLU(LEAKY, name=self.named(name)), x)
        if function in activations.NAMES:
            return self.add(layers.Activation(function, name=self.named(name)), x)
        known = ", ".join(activations.NAMES)
        raise TrainingError(f"layer {name} has the activation {function}; known are relu, softmax, {known}")

    def answered(self, x: Tensor, classes: int) -> tuple[Tensor, str]:
        """`x` as probabilities, and what it was: of scores their softmax, of one sigmoid or its score the shares of both
        classes.
        """
        last, ending = x._keras_history.operation, "scores"
        if isinstance(last, layers.Softmax):
            x, ending = last.input, "softmax"
        elif isinstance(last, layers.Activation | layers.ReLU | layers.LeakyReLU):
            if x.shape[-1] != 1 or getattr(last, "activation", None) is not keras.activations.sigmoid:
                raise TrainingError(f"the network ends in {last.name}; it must end in scores, one sigmoid, or softmax")
            x, ending = last.input, "sigmoid"
        elif x.shape[-1] == 1:
            ending = "score"
        if x.shape[-1] == 1 and classes == 2 and ending != "softmax":  # sigmoid(z) is the second share of softmax(0, z)
            before = self._linear.get(id(x))
            if not isinstance(before, layers.Dense):
                raise TrainingError("a network with one output must end in a fully connected layer, with or without sigmoid")
            kernel, bias = self.weights.pop(before.name)
            twice = [np.concatenate([np.zeros_like(part), part], axis=-1) for part in (kernel, bias)]
            x = self.add(layers.Dense(2, name=SCORES), before.input, twice)
        elif x.shape[-1] != classes:
            raise TrainingError(f"the network answers {x.shape[-1]} classes, and {classes} are named")
        return (last.output if ending == "softmax" else self.add(layers.Softmax(name=PROBABILITIES), x)), ending


def unreserved(name: str) -> str:
    """A layer's name, unless it is the one that the softmax in the end will have."""
    return SCORES if name == PROBABILITIES else name
