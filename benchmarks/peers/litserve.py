"""LitServe: its image classifier ("Speed up serving by 200x"), an upload in, two probabilities out.

VARIANT=documented PORT=8123 .peers/litserve/bin/python -m benchmarks.peers.litserve
"""

import os

import litserve as ls
import numpy as np
from fastapi import Request

from benchmarks.peers import work


class Cat(ls.LitAPI):
    """decode_request, predict and encode_response, as LitServe names the steps; each worker process has one."""

    def setup(self, device: str) -> None:
        """Load the network, once in each worker."""
        self.work = work.load()

    def decode_request(self, request: Request) -> np.ndarray:
        """A form's photo as a tensor. The annotation tells LitServe to parse the body; the form is what it hands over."""
        return self.work.tensor(request["file"].file.read())

    def predict(self, x: np.ndarray) -> np.ndarray:
        """A batch of tensors, which LitServe stacked, or one tensor where batching is off."""
        return self.work.probabilities(x) if x.ndim == 4 else self.work.probabilities(x[np.newaxis])[0]

    def encode_response(self, output: np.ndarray) -> dict[str, float]:
        """One photo's probabilities."""
        return work.named(output)


def main() -> None:
    """Serve on PORT with a worker for each core.

    `ours` does not batch, since on this CPU a batch gains nothing and waits, and lets answers travel through ZeroMQ.
    """
    documented = work.variant() == "documented"
    api = Cat(max_batch_size=8, batch_timeout=0.01) if documented else Cat()
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=work.CORES, fast_queue=not documented)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
