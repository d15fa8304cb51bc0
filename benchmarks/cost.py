"""The `cat` network beside EfficientNet-Lite0 as published, at 224x224: one photo on one thread of ONNX Runtime.

    .venv/bin/python -m benchmarks.cost --out benchmarks/cost.json

The two take turns, so that a slow moment of the machine hits both; the ratio of their medians is what counts. Neither
reads or resizes a photo here: it is the network alone. The published network ends with its mean over all positions and its
1000 classes.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import keras
import numpy as np

from app.inference.networks import contract
from app.inference.networks.runtime import session
from training.importing import onnx_graph
from training.networks import pretrained

ROOT = Path(__file__).parent.parent
ROUNDS = 200


def main() -> None:
    """Let the two take turns, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    ours, published = session((ROOT / "model" / "cat" / "model.onnx").read_bytes()), session(lite0())
    runs = {
        "cat": (ours, ["probabilities"], photo(contract.load(ROOT / "model" / "cat").input_shape[0]), []),
        "efficientnet_lite0_224": (published, ["classes"], photo(224), []),
    }
    for _ in range(ROUNDS):
        for network, outputs, tensor, seconds in runs.values():
            started = time.perf_counter()
            network.run(outputs, {"image": tensor})
            seconds.append(time.perf_counter() - started)
    medians = {name: float(np.median(seconds)) * 1000 for name, (*_, seconds) in runs.items()}
    ratio = medians["cat"] / medians["efficientnet_lite0_224"]
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "rounds": ROUNDS,
        "median_ms": {name: round(value, 2) for name, value in medians.items()},
        "ratio": round(ratio, 3),
    }
    print(json.dumps(result, indent=1))
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n")


def lite0() -> bytes:
    """EfficientNet-Lite0 with ImageNet's classifier."""
    backbone = pretrained.pretrained(224)
    state = pretrained.read(pretrained.weights_file())
    average = keras.layers.GlobalAveragePooling2D(name="average")(backbone.get_layer("head").output)
    classes = keras.layers.Dense(1000, name="classes")
    network = keras.Model(backbone.input, classes(average))
    classes.set_weights([state["_fc.weight"].T, state["_fc.bias"]])
    return onnx_graph.build(network, ["classes"]).SerializeToString()


def photo(side: int) -> np.ndarray:
    """Noise of a photo's shape; what it shows does not change the time."""
    return np.random.default_rng(0).uniform(0, 255, (1, side, side, 3)).astype(np.float32)


if __name__ == "__main__":
    main()
