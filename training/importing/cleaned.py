"""A network's configuration as Keras 2 or 3 wrote it comes in; one in Keras 3's form, of known parts only, goes out.

Keras builds what a configuration names: classes by module, functions, code in base64. So it never sees what a file says, but
what is written anew here, from lists of layers, options and calculations (`layer_list`). Nothing is executed or imported.
"""

from typing import Any, NoReturn

from training.errors import TrainingError
from training.importing.layer_list import (
    ACTIVATIONS,
    FUNCTIONS,
    IDLE,
    LAYERS,
    LEARNING,
    MODULES,
    OF_KERAS_2,
    OPERATIONS,
)

Config = dict[str, Any]

MODELS = ("Functional", "Model", "Sequential")
RUNS_CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "function")
READS_FILES = ("StringLookup", "IntegerLookup", "TextVectorization", "get_file")
MAX_DEPTH = 60
"""How deep networks and lists may lie in each other."""


def cleaned(config: Any, legacy: bool) -> Config:
    """The configuration of a whole network; `legacy` says that Keras 2's functions are meant by their names.

    Raises TrainingError, which names the layer, for what is not in the lists.
    """
    if not isinstance(config, dict) or config.get("class_name") not in MODELS:
        name = config.get("class_name") if isinstance(config, dict) else None
        refuse(f"it is a {_shown(name)}, not a functional or sequential network, whose layers could be listed")
    try:
        _inspected(config, 0)
        return _Cleaning(legacy).model(config)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise TrainingError(f"its configuration is damaged: {type(error).__name__} {_shown(error)}") from error


def refuse(reason: str) -> NoReturn:
    """Raise the error that a file may not be brought."""
    raise TrainingError(reason)


def _shown(value: Any) -> str:
    """What a file says, short and in one line."""
    return " ".join(str(value).split())[:80]


def _of_keras(module: str) -> bool:
    return module == "keras" or any(module == known or module.startswith(f"{known}.") for known in MODULES)


def _inspected(part: Any, depth: int) -> None:
    """Refuse code and whatever lies outside of Keras' layers, wherever in the configuration, used or not."""
    if depth > MAX_DEPTH:
        refuse("its configuration lies more than 60 levels deep")
    if isinstance(part, list):
        for one in part:
            _inspected(one, depth + 1)
    if not isinstance(part, dict):
        return
    name, module = part.get("class_name"), part.get("module")
    config = part.get("config")
    what = _shown(part.get("name") or (config.get("name") if isinstance(config, dict) else None) or name)
    if name in RUNS_CODE and not (name == "function" and isinstance(config, str) and config in ACTIVATIONS):
        refuse(
            f"layer {what} is a {name}, and what it does is code, which is never run from a file; make it of Keras' layers"
        )
    if name in READS_FILES:
        refuse(f"layer {what} is a {name}, which reads files; nothing that a file names is opened")
    if (
        isinstance(module, str)
        and name not in MODELS
        and not (module == "builtins" and name == "function")
        and not _of_keras(module)
    ):
        refuse(f"layer {what} is a {_shown(name)} of {_shown(module)}, a class that is not Keras' own; only those are built")
    for key, value in part.items():
        if key not in ("compile_config", "build_config"):  # never read
            _inspected(value, depth + 1)


class _Cleaning:
    def __init__(self, legacy: bool) -> None:
        self.legacy = legacy

    def model(self, part: Config) -> Config:
        kind, config = part["class_name"], part["config"]
        if isinstance(config, list):  # Sequential, before Keras 2.2
            config = {"layers": config, "name": part.get("name", "sequential")}
        if "layers" not in config:
            refuse(f"it is a {kind} whose layers are made by code of its own; save a functional or sequential network")
        name = _shown(config.get("name") or "network")
        if kind == "Sequential":
            steps = [self.layer(one) for one in config["layers"]]
            first = config["layers"][0]["config"] if config["layers"] else {}
            shape = first.get("batch_input_shape") if isinstance(first, dict) else None
            shape = shape or config.get("build_input_shape") or config.get("batch_input_shape")
            if steps and steps[0]["class_name"] != "InputLayer" and shape:
                steps.insert(0, _made("InputLayer", {"name": f"{name}_input", "batch_shape": _numbers(shape)}))
            return {"module": "keras", "class_name": "Sequential", "config": {"name": name, "layers": steps}}
        steps = []
        for one in config["layers"]:
            if _is_calculation(one):
                layer = self.operation(one)
            else:
                layer = self.function(one) if one["class_name"].endswith("OpLambda") else self.layer(one)
            nodes = one.get("inbound_nodes", [])
            layer["name"] = _shown(one.get("name") or layer["config"]["name"])
            layer["inbound_nodes"] = layer.pop("nodes") if "nodes" in layer else [self.node(node) for node in nodes]
            steps.append(layer)
        ends: Config = {key: _end(_plain(config[key], 0)) for key in ("input_layers", "output_layers")}
        return {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {"name": name, "layers": steps} | ends,
        }

    def layer(self, part: Config) -> Config:
        kind, config = part["class_name"], part["config"]
        if kind in MODELS:
            return self.model(part)
        name = _shown(config.get("name") or part.get("name") or kind.lower())
        registered = part.get("registered_name")
        if registered not in (None, kind) and not (registered or "").startswith("keras"):
            refuse(f"layer {name} is a {_shown(registered)}, a class of its own; only Keras' layers are built")
        if "Attention" in kind:
            refuse(f"layer {name} is attention ({_shown(kind)}), which mixes positions; that cannot be shown here")
        if kind in IDLE:
            return _made("Identity", {"name": name})
        if kind not in LAYERS:
            refuse(f"layer {name} is a {_shown(kind)}, which cannot be shown here; known are {', '.join(sorted(LAYERS))}")
        if config.get("data_format") == "channels_first":
            refuse(f"layer {name} keeps channels before rows (channels_first); Keras' usual order is needed")
        _floating(name, config.get("dtype"))
        return _made(kind, {"name": name} | dict(self.options(name, kind, config)))

    def options(self, name: str, kind: str, config: Config) -> list[tuple[str, Any]]:
        kept = []
        for key, value in config.items():
            known, only = OF_KERAS_2.get((kind, key), (key, None))
            if kind == "InputLayer" and key == "batch_input_shape":
                known = "batch_shape"
            if known in LAYERS[kind].split():
                kept.append((known, self.option(name, kind, known, value)))
            elif (known and known not in LEARNING) or (only is not None and value != only):
                refuse(f"layer {name}, a {kind}, has the option {_shown(key)}, which is not known here")
        return kept

    def option(self, name: str, kind: str, key: str, value: Any) -> Any:
        if key == "activation":
            return self.activation(name, value)
        if key == "axis" and isinstance(value, list) and len(value) == 1 and kind != "Normalization":
            return value[0]
        return _plain(value, 0)

    def activation(self, name: str, value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "function":
            value = value["config"]
        if value is None or isinstance(value, str):
            if value is not None and value not in ACTIVATIONS:
                known = ", ".join(sorted(ACTIVATIONS))
                refuse(f"layer {name} has the activation {_shown(value)}; known are {known}")
            if value == "hard_sigmoid" and self.legacy:
                refuse(f"layer {name} has the activation hard_sigmoid, which is another function in Keras 2 than in Keras 3")
            return value
        return self.layer(value)

    def operation(self, part: Config) -> Config:
        """A calculation as Keras 3 writes it."""
        kind, name = part["class_name"], _shown(part["config"].get("name"))
        if kind not in OPERATIONS:
            refuse(f"the calculation {name} ({_shown(kind)}) cannot be shown here; make it a layer that can")
        module = "keras.src.ops.core" if kind == "Cast" else "keras.src.ops.numpy"
        options = {key: _plain(value, 0) for key, value in part["config"].items() if key in ("name", "axis", "dtype")}
        return {"module": module, "class_name": kind, "config": options, "registered_name": kind}

    def function(self, part: Config) -> Config:
        """A calculation as Keras 2 writes it: one of TensorFlow's functions by name, with its arguments."""
        config, name = part["config"], _shown(part.get("name") or part["config"]["name"])
        kind = FUNCTIONS.get(config.get("function", "__operators__.getitem"))
        if kind is None:
            refuse(
                f"the calculation {name} ({_shown(config.get('function'))}) cannot be shown here; make it a layer that can"
            )
        options: Config = {"name": name}
        nodes = []
        for node in part["inbound_nodes"]:
            first = node if node and isinstance(node[0], str) else node[0]
            given = dict(first[3])
            sources: list[Any] = [_tensor(*one[:3]) for one in (node if isinstance(node[0], list) else [node])]
            others = [given.pop(key) for key in ("slice_spec", "y", "bias", "value") if key in given]
            others = [_key(one) if kind == "GetItem" else _plain(one, 0) for one in others]
            others = [_constant(one) if isinstance(one, list) and kind != "GetItem" else one for one in others]
            if kind in ("Stack", "Concatenate"):
                options["axis"] = int(given.get("axis", 0))
                nodes.append({"args": [sources], "kwargs": {}})
            elif kind == "Cast":
                options["dtype"] = "float32"
                nodes.append({"args": sources[:1], "kwargs": {}})
            else:
                nodes.append({"args": sources[:1] + others, "kwargs": {}})
        module = "keras.src.ops.core" if kind == "Cast" else "keras.src.ops.numpy"
        return {"module": module, "class_name": kind, "config": options, "registered_name": kind, "nodes": nodes}

    def node(self, node: Any) -> Any:
        """One call of a layer: Keras 2's list of [layer, call, output, options], or Keras 3's arguments."""
        if isinstance(node, list):
            calls = [node] if node and isinstance(node[0], str) else node
            return {"args": _alone([_tensor(*call[:3]) for call in calls]), "kwargs": {}}
        kwargs = {key: _plain(value, 0) for key, value in node.get("kwargs", {}).items() if key not in ("training", "mask")}
        return {"args": [_plain(value, 0) for value in node["args"]], "kwargs": kwargs}


def _is_calculation(part: Config) -> bool:
    """Whether it is one of `keras.ops`; in .h5 files modules are missing, but only layers can be trained."""
    if part.get("module") is None:
        return part["class_name"] in OPERATIONS and "trainable" not in part["config"]
    return ".ops." in str(part["module"])


def _made(kind: str, config: Config) -> Config:
    module = "keras.src.applications.convnext" if kind == "LayerScale" else "keras.layers"
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _alone(tensors: list[Config]) -> list[Any]:
    return tensors if len(tensors) == 1 else [tensors]


def _end(calls: Any) -> Any:
    """A single input or output without a list around it, so that Keras takes a photo and not a list of one."""
    return calls[0] if isinstance(calls, list) and len(calls) == 1 and isinstance(calls[0], list) else calls


def _tensor(layer: Any, call: Any, output: Any) -> Config:
    history = [_shown(layer), int(call), int(output)]
    return {"class_name": "__keras_tensor__", "config": {"shape": [None], "dtype": "float32", "keras_history": history}}


def _key(spec: Any) -> Any:
    """The index of Keras 2's slice, such as [..., ::-1], in Keras 3's form."""
    if isinstance(spec, dict) and "start" in spec:
        parts = [spec.get(one) for one in ("start", "stop", "step")]
        return {
            "class_name": "__slice__",
            "module": "builtins",
            "config": dict(zip(("start", "stop", "step"), parts, strict=True)),
        }
    if isinstance(spec, list):
        return [_key(one) for one in spec]
    if spec == "..." or (isinstance(spec, dict) and spec.get("class_name") == "__ellipsis__"):
        return {"class_name": "__ellipsis__", "config": None}
    return _plain(spec, 0)


def _numbers(shape: Any) -> list[int | None]:
    return [None if one is None else int(one) for one in _list(shape)]


def _list(value: Any) -> list[Any]:
    """A list, or a tuple in the form of Keras 3's configurations."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value["items"]
    return list(value)


def _plain(value: Any, depth: int) -> Any:
    """Numbers, short texts, lists of them, and Keras' tensors, slices and constants, each written anew."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and len(value) < 80:
        return value
    if isinstance(value, list):
        return [_plain(one, depth + 1) for one in value]
    kind: Any = value.get("class_name") if isinstance(value, dict) else None
    config: Any = value.get("config") if isinstance(value, dict) else None
    if kind == "__tuple__":
        return {"class_name": "__tuple__", "items": [_plain(one, depth + 1) for one in value["items"]]}
    if kind == "__keras_tensor__":
        return _tensor(*config["keras_history"])
    if kind in ("__tensor__", "__numpy__"):
        return _constant(_plain(config["value"], depth + 1))
    if kind == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": None}
    if kind == "__slice__":
        parts = {one: _plain(config.get(one), depth + 1) for one in ("start", "stop", "step")}
        return {"class_name": "__slice__", "module": "builtins", "config": parts, "registered_name": "slice"}
    refuse(f"its configuration holds {_shown(value)}, which is not known here")


def _constant(value: Any) -> Config:
    return {"class_name": "__tensor__", "config": {"value": value, "dtype": "float32"}}


def _floating(name: str, dtype: Any) -> None:
    """Refuse whole numbers: quantised weights mean something else. Half precision is read, and answered in float32."""
    policy = dtype.get("config", {}).get("name", dtype.get("class_name", "")) if isinstance(dtype, dict) else dtype
    if policy is not None and not str(policy).startswith(("float", "mixed", "bfloat")):
        refuse(f"layer {name} computes in {_shown(policy)}; bring the network before it is quantised")
