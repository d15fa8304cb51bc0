"""The candidate runtimes by name, each a function that passes one photo through the `cat` network.

Candidates are runtimes with a precision. What they read is made once, by `prepare`, from model.onnx, model.keras and
training photos, and cached in a folder. All run the network with its probabilities as the only output, but for those that
are `served`: they have every stage as an output too, as model.onnx has, asked for or not.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.integers.observe import observe
from training.integers.twin import recipe, twin

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "model" / "cat"
HEAD = ("evidence", "likeness", "doubt", "rivals", "rivals_scores", "pooled", "scores", "probabilities")
"""One score a position and what follows: left in float by every recipe."""

Run = Callable[[np.ndarray], float]
"""(1, height, width, 3) float32, 0..255 -> the probability of a cat."""


@dataclass(frozen=True)
class Candidate:
    """A runtime, what it computes in, and the file that it reads; `served` has every stage as an output."""

    runtime: str
    precision: str
    file: str
    served: bool = False
    hint: str = ""


CANDIDATES = {
    "onnxruntime_fp32_served": Candidate("ONNX Runtime", "fp32, stages as outputs", "served.onnx", served=True),
    "onnxruntime_fp32": Candidate("ONNX Runtime", "fp32", "fp32.onnx"),
    "onnxruntime_int8": Candidate("ONNX Runtime", "int8, usual recipe", "usual.onnx"),
    "onnxruntime_int7": Candidate("ONNX Runtime", "int8, weights of 7 bits", "halved.onnx"),
    "onnxruntime_careful": Candidate("ONNX Runtime", "int8, careful", "careful.onnx"),
    "openvino_fp32": Candidate("OpenVINO", "fp32", "fp32.onnx", hint="f32"),
    "openvino_bf16": Candidate("OpenVINO", "bfloat16 asked for", "fp32.onnx", hint="bf16"),
    "openvino_int8": Candidate("OpenVINO", "int8, NNCF", "nncf.xml", hint="f32"),
    "openvino_careful": Candidate("OpenVINO", "int8, careful", "careful.onnx", hint="f32"),
    "litert_fp32": Candidate("LiteRT", "fp32", "fp32.tflite"),
    "litert_int8": Candidate("LiteRT", "int8, converter's recipe", "int8.tflite"),
}


def load(name: str, folder: Path, threads: int) -> Run:
    """A candidate, ready to run on that many threads."""
    candidate = CANDIDATES[name]
    path = folder / candidate.file
    if candidate.runtime == "ONNX Runtime":
        return onnxruntime(path.read_bytes(), threads)
    return openvino(path, threads, candidate.hint)[0] if candidate.runtime == "OpenVINO" else litert(path, threads)


def onnxruntime(model: bytes, threads: int, **entries: str) -> Run:
    """Set up as in the service, except for the threads; in the names of `entries`, _ stands for a dot."""
    from app.inference.networks.runtime import import_onnxruntime

    runtime = import_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    # Idle threads would spin for a while and slow down the next candidate.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    for key, value in entries.items():
        options.add_session_config_entry(key.replace("_", "."), value)
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kind = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.float32
    return lambda tensor: float(session.run(["probabilities"], {"image": tensor.astype(kind)})[0][0, 0])


def openvino(path: Path, threads: int, hint: str) -> tuple[Run, str]:
    """Also returns the precision that it really uses: one that the CPU lacks is silently replaced."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([1, *_shape()])
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
    # Pinned, two processes that each run on one thread would share the first core.
    compiled = core.compile_model(model, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False})
    request = compiled.create_infer_request()
    kind = np.uint8 if compiled.input(0).get_element_type().get_type_name() == "u8" else np.float32

    def run(tensor: np.ndarray) -> float:
        request.infer([tensor.astype(kind)])
        return float(request.get_output_tensor(0).data[0, 0])

    return run, compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()


def litert(path: Path, threads: int) -> Run:
    """The integer file ends at the stage `head`; the rest is computed here, in float."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    image, out = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    head = dict(np.load(path.with_name("head.npz")))

    def run(tensor: np.ndarray) -> float:
        interpreter.set_tensor(image, tensor)
        interpreter.invoke()
        values = interpreter.get_tensor(out)
        if values.shape[-1] == 2:
            return float(values[0, 0])
        evidence = values[0].reshape(-1, values.shape[-1]) @ head["evidence_kernel"] + head["evidence_bias"]
        scores = np.log(np.exp(evidence).mean()) * head["scores_kernel"][0] + head["scores_bias"]
        return float(1 / (1 + np.exp(scores[1] - scores[0])))

    return run


def prepare(folder: Path, photos: np.ndarray) -> None:
    """Write what the candidates read, where it is not there yet; `photos`, (n, height, width, 3) uint8, set the ranges."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    source = SOURCE / "model.onnx"

    def missing(*names: str) -> bool:
        return not all((folder / name).exists() for name in names)

    if missing("served.onnx", "fp32.onnx"):
        (folder / "served.onnx").write_bytes(source.read_bytes())
        onnx.save(bare(onnx.load(source)), folder / "fp32.onnx")
    for name, halved in (("usual.onnx", False), ("halved.onnx", True)):
        if missing(name):
            onnx.save(bare(usual(source, photos, halved)), folder / name)
    if missing("careful.onnx"):
        model = onnx.load(source)
        seen = observe(model, photos)
        onnx.save(twin(model, seen, recipe(model, seen)), folder / "careful.onnx")
    if missing("nncf.xml"):
        _nncf(folder / "fp32.onnx", photos, folder / "nncf.xml")
    if missing("fp32.tflite", "int8.tflite", "head.npz"):
        _tflite(folder, photos)


def bare(model: object) -> object:
    """An ONNX model with its probabilities as the only output."""
    last = next(output for output in model.graph.output if output.name == "probabilities")  # type: ignore[attr-defined]
    del model.graph.output[:]  # type: ignore[attr-defined]
    model.graph.output.append(last)  # type: ignore[attr-defined]
    return model


def usual(source: Path, photos: np.ndarray, halved: bool = False) -> object:
    """ONNX Runtime's static quantization: QDQ, a scale a channel, the head in float; `halved` weights keep 7 bits."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no type annotations
        def __init__(self) -> None:
            self.tensors: Iterator[np.ndarray] = iter(photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            photo = next(self.tensors, None)
            return None if photo is None else {"image": photo[np.newaxis].astype(np.float32)}

    with tempfile.TemporaryDirectory() as temporary:
        prepared, out = Path(temporary) / "prepared.onnx", Path(temporary) / "int8.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(prepared).graph.node]
        quantization.quantize_static(
            prepared,
            out,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=halved,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[name for name in names if name.split("/")[0] in (*HEAD, "image", "normalize")],
            op_types_to_quantize=["Conv", "Sum", "Clip"],
        )
        return onnx.load(out)


def _nncf(source: Path, photos: np.ndarray, out: Path) -> None:
    """NNCF's post-training quantization as its documentation shows it, with the head in float."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    model.reshape([1, *_shape()])
    dataset = nncf.Dataset(photos, lambda photo: photo[np.newaxis].astype(np.float32))
    ignored = nncf.IgnoredScope(patterns=[f"{name}.*" for name in HEAD], validate=False)
    openvino.save_model(nncf.quantize(model, dataset, subset_size=len(photos), ignored_scope=ignored), out, False)


def _tflite(folder: Path, photos: np.ndarray) -> None:
    """TensorFlow's converter: the whole network in float, and up to the stage `head` in integers, floats in and out."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow

    from app.inference.networks import pooling  # noqa: F401  makes Keras know the layer that the saved network names

    network = keras.saving.load_model(SOURCE / "model.keras", compile=False)
    converter = tensorflow.lite.TFLiteConverter
    with contextlib.redirect_stdout(io.StringIO()):  # pages of tensor names
        (folder / "fp32.tflite").write_bytes(converter.from_keras_model(network).convert())
    integers = converter.from_keras_model(keras.Model(network.input, network.get_layer("head").output))
    integers.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    integers.representative_dataset = lambda: ([photo[np.newaxis].astype(np.float32)] for photo in photos)
    integers.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with contextlib.redirect_stdout(io.StringIO()):
        (folder / "int8.tflite").write_bytes(integers.convert())
    evidence, scores = (network.get_layer(name).get_weights() for name in ("evidence", "scores"))
    kernels = {"evidence_kernel": evidence[0][0, 0], "scores_kernel": scores[0]}
    np.savez(folder / "head.npz", **kernels, evidence_bias=evidence[1], scores_bias=scores[1])


def _shape() -> tuple[int, int, int]:
    from app.inference.networks.contract import load as read

    return read(SOURCE).input_shape
