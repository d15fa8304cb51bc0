"""A photo as a network's input comes in; what the network sees where it looks goes out, as one number for each channel.

A network that pools evidence by the logarithm of the mean of exponentials, as `cat` does, attends to some positions more
than to others: the softmax of the evidence says how much. When what it looks for changes a little, its score changes by the
mean of that change over the positions, weighted so. So the weighted mean of what it sees is all that has to be known of a
photo to say how its score would change. What this leaves out is of the second order and, by Jensen's inequality, never
negative.

A network that was taught takes the mean: it attends to all positions alike, and nothing is left out.
"""

import numpy as np

from app.inference.networks.engines.network import Network
from app.inference.networks.onnx.other_classes import LAST


def attended(network: Network, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of LAST over all positions, weighted by attention, (channels,) float32, and the scores, (classes,)."""
    stages, pooled = network.run(tensor, [LAST, "evidence", "scores"]).stages, network.contract.stage("pooled")
    picture, evidence = stages[LAST].reshape(-1, stages[LAST].shape[-1]), stages["evidence"].ravel()
    if pooled and pooled.operation == "average":
        return picture.mean(axis=0, dtype=np.float32), stages["scores"]
    shares = np.exp(evidence - evidence.max())
    return np.asarray(shares / shares.sum() @ picture, np.float32), stages["scores"]
