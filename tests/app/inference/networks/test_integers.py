"""Who answers: the network, or its twin in integers."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app.errors import InvalidRequest, NetworkError
from app.inference.familiarity import Familiarity
from app.inference.networks.contract import INT8_FILE, Int8, load
from app.inference.networks.edits import Edit
from app.inference.networks.engines import integers
from app.inference.networks.engines.integers import IntegerTwin
from app.inference.networks.engines.network import ForwardPass
from app.inference.networks.engines.onnx_engine import OnnxNetwork
from app.inference.networks.load import load_all
from app.inference.predict import PredictOptions, predict, run_photos, whole
from app.inference.tensor import to_tensor


@pytest.fixture
def copy(twin_dir: Path, tmp_path: Path) -> Path:
    """The folder of a network that has a twin, to be spoiled."""
    return Path(shutil.copytree(twin_dir / "tutorial", tmp_path / "model" / "tutorial"))


@pytest.fixture(scope="module")
def network(twin_dir: Path) -> OnnxNetwork:
    """It leaves close verdicts to itself, all others to its twin."""
    made = OnnxNetwork(load(twin_dir / "tutorial"), "auto")
    made.integers.preferred = True  # whatever this CPU can
    return made


def test_the_twin_answers_nearly_what_the_network_answers(network, cat_photo):
    own = predict(cat_photo, network, PredictOptions("none", precision="float32"))
    twin = predict(cat_photo, network, PredictOptions("none", precision="int8"))
    assert (own.precision, twin.precision) == ("float32", "int8")
    assert own.model_sha256 == network.sha256
    assert twin.model_sha256 == network.contract.files[INT8_FILE]
    assert twin.probabilities == pytest.approx(own.probabilities, abs=0.1)  # its weights are random
    assert twin.probabilities != own.probabilities
    assert sum(twin.probabilities.values()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        PredictOptions("summary", precision="int8"),
        PredictOptions("thumbnails", precision="int8"),
        PredictOptions("none", heatmap=True, precision="int8"),
        PredictOptions("none", input=True, precision="int8"),
        PredictOptions("none", precision="float32"),
    ],
)
def test_whoever_looks_inside_or_asks_for_float_gets_the_network_s_own_answer(network, cat_photo, options):
    answer = predict(cat_photo, network, options)
    assert answer.precision == "float32"
    assert answer.probabilities == predict(cat_photo, network, PredictOptions("none", precision="float32")).probabilities


@pytest.mark.promise("P61")
def test_a_close_verdict_is_left_to_the_network(network, cat_photo, monkeypatch):
    monkeypatch.setattr(network.integers, "settles", lambda result: False)
    assert predict(cat_photo, network, PredictOptions("none")).precision == "float32"
    assert predict(cat_photo, network, PredictOptions("none", precision="int8")).precision == "int8"
    monkeypatch.setattr(network.integers, "settles", lambda result: True)
    answer = predict(cat_photo, network, PredictOptions("none"))
    assert answer.precision == "int8"
    assert set(answer.milliseconds) == {"decode", "inference", "feature_maps"}


def test_by_the_setting_integers_answer_alone(twin_dir, cat_photo):
    alone = OnnxNetwork(load(twin_dir / "tutorial"), "int8")
    assert alone.integers.preferred
    assert alone.integers.alone
    assert predict(cat_photo, alone, PredictOptions("none")).precision == "int8"
    assert predict(cat_photo, alone, PredictOptions("none", precision="float32")).precision == "float32"


def test_by_the_setting_or_where_they_do_not_pay_integers_do_not_answer(twin_dir, cat_photo, monkeypatch):
    contract = load(twin_dir / "tutorial")
    assert OnnxNetwork(contract, "float32").integers is None
    monkeypatch.setattr(integers, "pays", lambda network, made: False)
    unused = OnnxNetwork(contract, "auto")
    assert predict(cat_photo, unused, PredictOptions("none")).precision == "float32"
    assert predict(cat_photo, unused, PredictOptions("none", precision="int8")).precision == "int8"


def test_integers_are_refused_where_there_are_none(model_dir, twin_dir, network):
    without = OnnxNetwork(load(model_dir / "tutorial"), "auto")
    with pytest.raises(InvalidRequest, match="network tutorial has no twin in integers"):
        integers.speaker(without, "int8", inside=False)
    with pytest.raises(InvalidRequest, match="CATSCOPE_PRECISION=float32"):
        integers.check(OnnxNetwork(load(twin_dir / "tutorial"), "float32"))
    for changed in (network.edited([Edit("block1_conv", 0, mute=True)]), network.at_epoch(1)):
        with pytest.raises(InvalidRequest, match="edited networks, and those of other epochs, compute in float32"):
            integers.check(changed)
        assert integers.speaker(changed, "auto", inside=False) is None


def test_a_spoiled_twin_is_refused_and_one_that_was_left_out_is_not_missed(copy, network):
    (copy / INT8_FILE).write_bytes((copy / INT8_FILE).read_bytes()[:-1] + b"\0")
    with pytest.raises(NetworkError, match="its contract says"):
        load_all([copy.parent], "onnx", precision="auto")
    assert load_all([copy.parent], "onnx", precision="float32").networks["tutorial"]["0.0.1"].integers is None
    (copy / INT8_FILE).unlink()
    left = load_all([copy.parent], "onnx", precision="int8").networks["tutorial"]["0.0.1"]
    assert left.contract.int8 is None
    assert left.integers is None


def test_a_file_that_no_runtime_reads_is_refused_with_its_name(copy):
    (copy / INT8_FILE).write_bytes(b"no network")
    contract = load(copy)
    spoiled = replace(contract, files=contract.files | {INT8_FILE: hashlib.sha256(b"no network").hexdigest()})
    with pytest.raises(NetworkError, match=rf"{INT8_FILE} cannot be run"):
        IntegerTwin(spoiled)


def test_a_reload_checks_the_twin_of_a_network_that_is_kept(copy):
    before = load_all([copy.parent], "onnx", precision="int8").networks["tutorial"]["0.0.1"]
    known = {before.contract.folder: before}
    assert load_all([copy.parent], "onnx", loaded=known, precision="int8").networks["tutorial"]["0.0.1"] is before
    (copy / INT8_FILE).write_bytes(b"other")
    with pytest.raises(NetworkError, match="its contract says"):
        load_all([copy.parent], "onnx", loaded=known, precision="int8")


# Whether they pay


@pytest.mark.parametrize(
    ("flags", "known"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", True),
        ("processor\t: 0\nflags\t\t: fpu avx_vnni\nflags : fpu", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("Features\t: fp asimd asimddp", False),
        ("", False),
    ],
)
def test_the_processor_says_whether_it_has_vnni(tmp_path, flags, known):
    (tmp_path / "cpuinfo").write_text(flags)
    assert integers.has_vnni(tmp_path / "cpuinfo") is known
    assert integers.has_vnni(tmp_path / "nothing") is False


def test_with_vnni_the_measurement_of_the_export_counts(network, monkeypatch):
    monkeypatch.setattr(integers, "has_vnni", lambda: True)
    monkeypatch.setattr(integers, "times_as_fast", lambda *_: pytest.fail("nothing need be measured"))
    for measured, worth in ((2.0, True), (1.3, True), (1.29, False)):
        known = SimpleNamespace(contract=replace(network.contract, int8=Int8(0.5, measured)))
        assert integers.pays(known, network.integers) is worth


@pytest.mark.parametrize(("vnni", "measured"), [(False, 2.0), (True, None)])
def test_otherwise_both_are_measured_here(network, monkeypatch, vnni, measured):
    monkeypatch.setattr(integers, "has_vnni", lambda: vnni)
    ran = []
    monkeypatch.setattr(integers, "times_as_fast", lambda slow, fast, seconds: (ran.append((slow(), fast())), 1.4)[1])
    known = SimpleNamespace(contract=replace(network.contract, int8=Int8(0.5, measured)), run=network.run)
    assert integers.pays(known, network.integers)
    assert [type(answer) for answer in ran[0]] == [ForwardPass, ForwardPass]


def test_the_shortest_times_are_compared(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(integers.time, "perf_counter", lambda: clock[0])
    delays = {"slow": iter([0.5, 0.04, 0.09, 0.3]), "fast": iter([0.01, 0.2, 0.05, 0.3])}

    def work(name: str) -> None:
        clock[0] += next(delays[name])

    assert integers.times_as_fast(lambda: work("slow"), lambda: work("fast"), 1.5) == pytest.approx(4)


# When a verdict is close


def settled(contract, distance=None, **probabilities) -> bool:
    return contract.settled(probabilities, distance)


def test_of_two_classes_a_verdict_is_close_in_the_band_and_near_it(network):
    contract = replace(network.contract, unsure=(0.3, 0.7), int8=Int8(margin=0.5))
    for cat, expected in ((0.2, True), (0.21, False), (0.5, False), (0.79, False), (0.8, True), (1.0, True), (0.0, True)):
        assert settled(contract, cat=cat, not_cat=1 - cat) is expected, cat


def test_without_a_band_it_is_close_to_a_half(network):
    contract = replace(network.contract, unsure=(0.0, 0.0), int8=Int8(margin=0.5))
    for cat, expected in ((0.37, True), (0.38, False), (0.62, False), (0.63, True)):
        assert settled(contract, cat=cat, not_cat=1 - cat) is expected, cat


def test_of_more_classes_the_likeliest_has_to_be_out_of_the_band_and_ahead(network):
    contract = replace(network.contract, classes=("a", "b", "c"), unsure=(0.0, 0.5), int8=Int8(margin=0.5))
    assert settled(contract, a=0.7, b=0.2, c=0.1)
    assert not settled(contract, a=0.6, b=0.3, c=0.1)  # near the band
    free = replace(contract, unsure=(0.0, 0.0))
    assert settled(free, a=0.6, b=0.3, c=0.1)
    assert not settled(free, a=0.5, b=0.4, c=0.1)  # near the second
    assert settled(free, a=1.0, b=0.0, c=0.0)


def test_of_what_was_taught_it_is_close_near_the_limit_of_the_familiar(network):
    known = Familiarity("dense", 0.2, *[np.zeros(1, np.float32)] * 2, *[np.zeros((2, 1), np.float32)] * 2)
    contract = replace(network.contract, unsure=(0.0, 0.0), int8=Int8(margin=0.5), familiarity=known)
    for distance, expected in ((0.1, True), (0.19, False), (0.21, False), (0.3, True)):
        assert settled(contract, distance=distance, cat=0.99, not_cat=0.01) is expected, distance


# Tensors


def test_whole_colours_are_found():
    photos = np.zeros((2, 4, 4, 3), np.float32)
    photos[1, 2, 3] = 17, 255, 0
    pixels = whole(photos)
    assert pixels.dtype == np.uint8
    assert pixels.shape == photos.shape
    np.testing.assert_array_equal(pixels, photos)
    for value in (0.5, 256, -1, np.nan, np.inf, 1e30):
        photos[0, 0, 0, 0] = value
        assert whole(photos) is None, value


def test_tensors_of_whole_colours_are_answered_in_integers(network, cat_image, monkeypatch):
    tensor = to_tensor(cat_image, *network.contract.input_shape[:2])
    photos = np.concatenate([tensor, tensor[:, ::-1], tensor[:, :, ::-1]])
    monkeypatch.setattr(network.integers, "settles", lambda result: True)
    own, used = run_photos(network, photos, ("probabilities",))
    assert used == "float32"
    twin, used = run_photos(network, photos, ("probabilities",), "auto")
    assert used == "int8"
    assert list(twin) == ["probabilities"]
    np.testing.assert_allclose(twin["probabilities"], own["probabilities"], atol=0.1)
    assert run_photos(network, photos, ("probabilities", "flatten"), "auto")[1] == "float32"
    assert run_photos(network, photos + 0.5, ("probabilities",), "auto")[1] == "float32"
    monkeypatch.setattr(network.integers, "settles", lambda result: False)
    closely, used = run_photos(network, photos, ("probabilities",), "auto")
    assert used == "float32"
    np.testing.assert_array_equal(closely["probabilities"], own["probabilities"])


def test_what_the_contract_says_of_the_twin_is_read(twin_dir):
    plain = json.loads((twin_dir / "tutorial" / "contract.json").read_text())
    contract = load(twin_dir / "tutorial")
    assert contract.int8 == Int8(plain["int8"]["margin"], plain["int8"]["times_as_fast"])
    assert contract.verified(INT8_FILE).is_file()
