"""BentoML: its image classifier (BentoResnet, and the guide to adaptive batching), an upload in, two probabilities out.

VARIANT=documented .peers/bentoml/bin/python -m bentoml serve benchmarks.peers.bentoml:Cat --port 8123
"""

from pathlib import Path

import bentoml
import numpy as np
from PIL import Image

from benchmarks.peers import work

BATCH = 8
DOCUMENTED = work.variant() == "documented"


@bentoml.service(workers=work.CORES, traffic={"timeout": 60, "concurrency": BATCH})
class Batching:
    """A batchable endpoint: each worker collects uploads for an adaptive time and runs them in one pass."""

    def __init__(self) -> None:
        self.work = work.load()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=10_000)
    def predict(self, images: list[Image.Image]) -> list[dict[str, float]]:
        """BentoML has opened the uploads as Pillow images and hands over a list of them."""
        batch = [np.asarray(image.convert("RGB").resize((work.SIDE, work.SIDE)), dtype=np.float32) for image in images]
        return [work.named(one) for one in self.work.probabilities(np.stack(batch))]


@bentoml.service(workers=1, threads=2 * work.CORES, traffic={"timeout": 60})
class OneByOne:
    """The same without batching: on this CPU a batch gains nothing and adds waiting. An upload is passed as a file.

    One process with two threads per core answers more than two processes: those share the connections unevenly, and with
    one thread per core, a core is idle while an upload is written to its file.
    """

    def __init__(self) -> None:
        self.work = work.load()

    @bentoml.api
    def predict(self, images: Path) -> dict[str, float]:
        """One photo, decoded by us."""
        tensor = self.work.tensor(images.read_bytes())
        return work.named(self.work.probabilities(tensor[np.newaxis])[0])


Cat = Batching if DOCUMENTED else OneByOne
