"""Keras is imported without TensorFlow's log lines, and a backend that is missing is named."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from training import backend

LOAD = "from training.errors import run; from training.backend import load_keras; run(load_keras)"
LINES = (
    b"2026-01-01 10:00:00.000000: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n",
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
    b"I0000 00:00:1795758050.579263    6213 cpu_feature_guard.cc:227] This TensorFlow binary is optimized\n",
    b"E0000 00:00:1795758050.579263    6213 cuda_dnn.cc:8310] Unable to register cuDNN factory\n",
    b"To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow\n",
)


def loading(**environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")}
    return subprocess.run(
        [sys.executable, "-c", LOAD], cwd=ROOT, capture_output=True, text=True, env=inherited | environment, check=False
    )


def test_tensorflow_logs_nothing_while_it_is_imported():
    """With oneDNN switched on it logs a line on every processor, whatever TF_CPP_MIN_LOG_LEVEL says."""
    result = loading(TF_ENABLE_ONEDNN_OPTS="1")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_tensorflow_logs_is_dropped(capfd, line):
    with backend._unlogged():
        os.write(2, line)
    assert capfd.readouterr().err == ""


def test_every_other_line_is_written(capfd):
    with backend._unlogged():
        os.write(2, LINES[0] + b"a warning\n" + LINES[1] + b"another")
    assert capfd.readouterr().err == "a warning\nanother"


def test_standard_error_is_restored_after_a_failure(capfd):
    with pytest.raises(ImportError), backend._unlogged():
        raise ImportError
    os.write(2, LINES[0])
    assert capfd.readouterr().err == LINES[0].decode()


@pytest.mark.parametrize("name", ["nonsense", "numpy"])
def test_a_backend_that_cannot_train_is_reported_in_one_line(name):
    result = loading(KERAS_BACKEND=name)
    assert result.returncode == 1
    assert result.stderr == f"error: KERAS_BACKEND is {name}; it must be one of tensorflow, jax, torch\n"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is installed")
def test_a_backend_that_is_not_installed_is_reported_in_one_line():
    result = loading(KERAS_BACKEND="torch")
    assert result.returncode == 1
    assert result.stderr == "error: KERAS_BACKEND is torch, which cannot be imported: No module named 'torch'\n"
