"""Files that people bring: which are read, which are refused, and that nothing in them runs."""

import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from tests.conftest import ROOT
from training.errors import TrainingError
from training.importing import archive
from training.importing.cleaned import cleaned
from training.importing.keras_import import load

CASES = ROOT.parent / "shared" / "cases"
OURS = "keras.layers"


def small(*steps: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input((8, 8, 3)), *(steps or (layers.Flatten(), layers.Dense(2, name="scores")))])


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small network as Keras 3 writes it."""
    path = tmp_path_factory.mktemp("saved") / "network.keras"
    small(layers.Conv2D(3, 3, name="conv"), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)).save(path)
    return path


def changed(saved: Path, path: Path, change) -> Path:
    """A copy of the file whose configuration `change` was made to."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config).encode()
            target.writestr(name, content)
    return path


def answers(model: keras.Model) -> np.ndarray:
    photo = np.random.default_rng(1).uniform(0, 255, (1, *model.inputs[0].shape[1:])).astype(np.float32)
    return np.asarray(model(photo, training=False))


@pytest.mark.parametrize("name", ["keras-2.15.keras", "keras-2.h5"])
def test_what_keras_2_saved_is_read(name):
    if not (CASES / name).exists():
        pytest.skip("../shared/cases is not here")
    assert answers(load(CASES / name)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["network.h5", "NETWORK.KERAS", "no suffix"])
def test_a_file_is_known_by_its_bytes(tmp_path, saved, name):
    original = keras.saving.load_model(saved)
    if name.endswith(".h5"):
        original.save(tmp_path / name)
    else:
        shutil.copy(saved, tmp_path / name)
    assert answers(load(tmp_path / name)) == pytest.approx(answers(original))


def test_calculations_are_told_from_layers_where_an_h5_file_has_no_modules(tmp_path):
    photo = keras.Input((8, 8, 3))
    x = keras.applications.vgg16.preprocess_input(photo)
    x = layers.Flatten()(layers.Add()([x, layers.Conv2D(3, 1)(x)]))
    model = keras.Model(photo, layers.Dense(2)(x))
    model.save(tmp_path / "network.h5")
    assert answers(load(tmp_path / "network.h5")) == pytest.approx(answers(model))


def keras_2(config: dict) -> None:
    """The same network in Keras 2.15's words."""
    config["config"].pop("dtype")
    for layer in config["config"]["layers"]:
        options = layer["config"]
        options["dtype"] = "float32"
        if layer["class_name"] == "InputLayer":
            options["batch_input_shape"] = options.pop("batch_shape")
            options.pop("optional")
        if layer["class_name"] == "BatchNormalization":
            options["axis"] = [3]


def test_keras_2s_words_mean_what_they_meant(tmp_path, saved):
    old = load(changed(saved, tmp_path / "old.keras", keras_2))
    assert answers(old) == pytest.approx(answers(keras.saving.load_model(saved)))


def sequence(*steps: dict) -> dict:
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 8, 8, 3], "name": "photo"}}
    return {"class_name": "Sequential", "config": {"name": "old", "layers": [first, *steps]}}


def test_keras_2s_hard_sigmoid_is_refused_since_keras_3_has_another():
    step = {"class_name": "Activation", "config": {"name": "gate", "activation": "hard_sigmoid"}}
    with pytest.raises(TrainingError, match="gate has the activation hard_sigmoid, which is another function"):
        cleaned(sequence(step), legacy=True)
    cleaned(sequence(step), legacy=False)


def test_keras_2s_calculations_become_keras_3s():
    def call(name: str, **options: object) -> list:
        return [[name, 0, 0, options]]

    spec = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
    lambdas = [
        ("flip", "SlicingOpLambda", "__operators__.getitem", call("photo", slice_spec=spec)),
        ("mean", "TFOpLambda", "nn.bias_add", call("flip", bias=[-1.0, -2.0, -3.0])),
    ]
    steps = [
        {"class_name": "InputLayer", "name": "photo", "config": {"batch_input_shape": [None, 8, 8, 3], "name": "photo"}}
    ]
    steps += [
        {"class_name": kind, "name": name, "config": {"name": name, "function": function}, "inbound_nodes": nodes}
        for name, kind, function, nodes in lambdas
    ]
    ends = {"input_layers": [["photo", 0, 0]], "output_layers": [["mean", 0, 0]]}
    config = cleaned({"class_name": "Functional", "config": {"name": "old", "layers": steps, **ends}}, legacy=True)
    model = keras.saving.deserialize_keras_object(config)
    photo = np.random.default_rng(0).uniform(size=(1, 8, 8, 3)).astype(np.float32)
    assert np.asarray(model(photo)) == pytest.approx(photo[..., ::-1] - [1, 2, 3], abs=1e-6)


def lambda_code() -> dict:
    """What Keras makes of a function: marshalled bytes; loading them without safe mode runs them."""
    with_code = keras.saving.serialize_keras_object(layers.Lambda(lambda x: x, name="sneaky"))
    assert with_code["config"]["function"]["class_name"] == "__lambda__"
    return with_code


def hostile(marker: Path) -> dict[str, dict]:
    """Published ways to make Keras run or open something while it builds a configuration, each as a layer."""
    touch = {"module": "os", "class_name": "system", "config": {"command": f"touch {marker}"}, "registered_name": None}
    fetched = {"module": "keras.utils", "class_name": "get_file", "config": {"origin": f"file://{marker}"}}
    conv = {"name": "conv", "filters": 3, "kernel_size": 3}
    return {
        "a lambda": lambda_code(),
        "a lambda by name": {"module": OURS, "class_name": "Lambda", "config": {"name": "sneaky", "function": "os.system"}},
        "another module": touch,
        "another module in an option": {"module": OURS, "class_name": "Conv2D", "config": conv | {"kernel_initializer": touch}},
        "a download": {"module": OURS, "class_name": "Conv2D", "config": conv | {"bias_initializer": fetched}},
        "a function by name": {"module": OURS, "class_name": "Conv2D", "config": conv | {"activation": {
            "module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"}}},
        "a pickled module": {"module": OURS, "class_name": "TorchModuleWrapper", "config": {"name": "sneaky", "module": "gASV"}},
        "a file's words": {"module": OURS, "class_name": "StringLookup", "config": {"name": "sneaky", "vocabulary": "/etc/passwd"}},
        "a graph": {"module": OURS, "class_name": "TFSMLayer", "config": {"name": "sneaky", "filepath": str(marker)}},
        "a class of their own": {"module": "theirs", "class_name": "Dense", "config": {"name": "sneaky"}, "registered_name": "p>D"},
        "a registered class": {"module": OURS, "class_name": "Dense", "config": {"name": "sneaky"}, "registered_name": "p>Dense"},
    }  # fmt: skip


@pytest.mark.promise("P66")
@pytest.mark.parametrize("name", hostile(Path("marker")))
def test_code_in_a_file_is_refused_before_keras_sees_it(tmp_path, saved, monkeypatch, name):
    def reached(*_: object, **__: object) -> None:
        raise AssertionError("Keras saw the configuration")

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", reached)
    layer = hostile(tmp_path / "marker")[name]
    path = changed(saved, tmp_path / "bad.keras", lambda config: config["config"]["layers"].insert(1, layer))
    with pytest.raises(TrainingError, match=r"cannot be brought: layer (sneaky|conv|system|get_file|function)") as error:
        load(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1200
    assert not (tmp_path / "marker").exists()


@pytest.mark.promise("P66")
def test_a_lambda_in_an_old_file_is_refused(tmp_path):
    code = {
        "class_name": "Lambda",
        "config": {"name": "sneaky", "function": ["4wEAAAA=", None, None], "function_type": "lambda"},
    }
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(sequence(code))
        file.create_group("model_weights")
    with pytest.raises(TrainingError, match="layer sneaky is a Lambda, and what it does is code"):
        load(tmp_path / "old.h5")


def test_attention_is_refused_by_name(tmp_path):
    photo = keras.Input((4, 4, 3))
    x = layers.MultiHeadAttention(1, 2, name="looks")(photo, photo)
    keras.Model(photo, layers.Dense(2)(layers.Flatten()(x))).save(tmp_path / "network.keras")
    with pytest.raises(TrainingError, match=r"layer looks is attention \(MultiHeadAttention\)"):
        load(tmp_path / "network.keras")


def archived(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return packed.getvalue()


def stored(write) -> bytes:
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        write(file)
    return packed.getvalue()


def elsewhere(file: h5py.File) -> None:
    file.create_dataset("vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def linked(file: h5py.File) -> None:
    file["vars"] = h5py.ExternalLink("/etc/passwd", "/x")


def with_weights(write) -> bytes:
    return archived({"config.json": b"{}", "model.weights.h5": stored(write)})


OTHERS = {
    "pickle": (pickle.dumps({"a": 1}), "a pickle runs code"),
    "PyTorch": (archived({"archive/data.pkl": b"x"}), "a pickle runs code"),
    "another archive": (archived({"readme.txt": b"x"}), "holds no config.json"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(8), "a TensorFlow Lite file"),
    "text": (b"hello, this is text", "neither a .keras nor an .h5 file"),
    "nothing": (b"", "neither a .keras nor an .h5 file"),
    "half an archive": (archived({"config.json": b"{}"})[:-30], "is damaged"),
    "weights alone": (stored(lambda file: file.create_group("dense")), "holds weights without the network"),
    "weights elsewhere": (with_weights(elsewhere), "keeps its weights in other files"),
    "a link": (with_weights(linked), "holds a link"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_is_refused_in_one_line_that_says_what_it_is(tmp_path, name):
    content, message = OTHERS[name]
    (tmp_path / "brought.h5").write_bytes(content)
    with pytest.raises(TrainingError, match=message) as error:
        load(tmp_path / "brought.h5")
    assert "\n" not in str(error.value)


def test_a_saved_model_folder_is_told_the_way_out(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"is a SavedModel folder.* save it with model.save\(\"network.h5\"\)"):
        load(tmp_path)


def test_weights_that_do_not_fit_are_reported_in_one_line(tmp_path, saved):
    def wider(config: dict) -> None:
        config["config"]["layers"][1]["config"]["filters"] = 5

    with pytest.raises(TrainingError, match="cannot be loaded") as error:
        load(changed(saved, tmp_path / "bad.keras", wider))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.promise("P66")
@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_the_process_that_reads_a_file_can_open_connect_and_start_nothing(tmp_path):
    code = f"""
import os, socket, sys
from app.inference.cage.confinement import confine
if missing := confine(2**32):
    print("unknown machine" if "machine" in missing else missing); sys.exit()
for attempt in (lambda: open("/etc/hostname"), lambda: open({str(tmp_path / "new")!r}, "w"), lambda: socket.socket(),
                lambda: os.system("true") == 0 or os.fork(), lambda: os.execv("/bin/true", ["true"]),
                lambda: os.unlink({str(tmp_path / "kept")!r}), lambda: os.listdir("/"), lambda: os.kill(os.getppid(), 0)):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__, flush=True)
    else:
        print("possible", flush=True)
"""
    (tmp_path / "kept").touch()
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    if "unknown machine" in result.stdout:
        pytest.skip("this machine's system calls are not listed")
    assert result.stdout.split() == ["PermissionError"] * 8, result.stderr
    assert (tmp_path / "kept").exists()


def test_a_system_without_seccomp_is_told_so(tmp_path, saved, monkeypatch, capsys):
    header, arrays = archive._unpacked(saved, "keras")
    monkeypatch.setattr(archive, "_unpacked", lambda *_: (header | {"missing": "this system has no seccomp"}, arrays))
    load(saved)
    assert "this system has no seccomp" in capsys.readouterr().err
