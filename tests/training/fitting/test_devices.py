"""Training on two devices: a CPU that TensorFlow is made to see as two, in a separate process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.runs import ROOT, history
from training.errors import TrainingError
from training.fitting.devices import Devices, _best

COMMAND = """
import sys
import tensorflow as tf

halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)

from training.errors import run
from training.train import main

sys.argv = ["train", "--network", "dense", "--epochs", "2", "--batch-size", "7", "--distribute", *sys.argv[1:]]
run(main)
"""


@pytest.fixture(scope="module")
def distributed(photos, tmp_path_factory) -> Path:
    """The folder of a dense network that two devices trained."""
    out = tmp_path_factory.mktemp("distributed") / "dense"
    result = subprocess.run(
        [sys.executable, "-c", COMMAND, "--data", str(photos), "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode in (0, 3), result.stderr[-3000:]  # 3: two epochs teach ten photos little
    return out


def test_two_devices_train_a_network_to_its_end(distributed):
    assert [epoch["epoch"] for epoch in history(distributed)["epochs"]] == [1, 2]
    assert (distributed / "model.keras").is_file()


def test_its_validation_saw_every_photo_once(distributed):
    accuracies = [epoch["validation_accuracy"] * 10 for epoch in history(distributed)["epochs"]]
    assert all(abs(value - round(value)) < 1e-4 for value in accuracies), "validation has ten photos"


def test_two_devices_learn_what_one_learns():
    code = """
import tensorflow as tf
halves = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
import keras, numpy as np
from training.data.dataset import Split
from training.fitting.devices import Devices
from training.fitting.feed import Feed
from training.fitting.views import Batch
random = np.random.default_rng(0)
x, y = random.normal(size=(8, 5)).astype("float32"), random.normal(size=(8, 1)).astype("float32")
class Views:
    def batches(self, split, epoch):
        yield Batch(x, y, np.ones(8, "float32"))
weights = []
for devices in (Devices(False), Devices(True)):
    keras.utils.set_random_seed(1)
    with devices.scope():
        network = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
        network.compile(keras.optimizers.SGD(0.1), "mse")
    feed = Feed(Views(), Split(x, y, []), 8, 1, devices.replicas)
    for epoch in range(1, 6):
        feed.begin(epoch)
        network.fit(feed, shuffle=False, verbose=0)
    weights.append(network.get_weights()[0])
    assert devices.answer(network, x).shape == (8, 1)
assert np.abs(weights[0]).max() > 0.01
print(float(np.abs(weights[0] - weights[1]).max()))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert float(result.stdout.split()[-1]) < 1e-5


def test_one_device_is_not_distributed():
    with pytest.raises(TrainingError, match="two devices or more, Keras sees cpu:0"):
        Devices(distribute=True)


def test_accelerators_are_used_without_the_cpu():
    assert _best(["cpu:0", "gpu:0", "gpu:1"]) == ["gpu:0", "gpu:1"]
    assert _best(["cpu:0", "cpu:1"]) == ["cpu:0", "cpu:1"]
