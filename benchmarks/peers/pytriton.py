"""PyTriton: NVIDIA's Triton behind a Python function; raw bytes in the V2 protocol in, two probabilities out.

    VARIANT=documented PORT=8123 .peers/pytriton/bin/python -m benchmarks.peers.pytriton

Its image example takes the encoded photo as a tensor of bytes. The clients that it comes with send tensors in the
protocol's binary form, which is also the fastest: no text, no base64.
"""

import os

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers import work


class Cat:
    """One instance of the network; Triton calls all instances in parallel, each in its own thread."""

    def __init__(self) -> None:
        self.work = work.load()

    @batch
    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """A batch of encoded photos, (n, 1) bytes objects, which Triton gathered."""
        tensors = np.stack([self.work.tensor(photo) for photo in image[:, 0]])
        return {"probabilities": self.work.probabilities(tensors)}


def main() -> None:
    """Serve on PORT with an instance for each core. `ours` does not batch: on this CPU, it gains nothing."""
    port = int(os.environ["PORT"])
    triton = TritonConfig(http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False)
    if work.variant() == "documented":
        config = ModelConfig(max_batch_size=8, batcher=DynamicBatcher(max_queue_delay_microseconds=5000))
    else:
        config = ModelConfig(max_batch_size=1)
    with Triton(config=triton) as server:
        server.bind(
            model_name="cat",
            infer_func=[Cat() for _ in range(work.CORES)],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(2,))],
            config=config,
            strict=True,
        )
        server.serve()


if __name__ == "__main__":
    main()
