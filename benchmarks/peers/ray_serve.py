"""Ray Serve: its image classifier on CPUs, with dynamic request batching; a photo as it is in, two probabilities out.

VARIANT=documented PORT=8123 .peers/ray_serve/bin/python -m benchmarks.peers.ray_serve
"""

import asyncio
import os

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers import work

BATCH = 8


@serve.deployment(num_replicas=work.CORES, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=2 * BATCH)
class Batching:
    """One replica per core; each collects the requests of 10 ms and runs them in one pass."""

    def __init__(self) -> None:
        self.work = work.load()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0.01)
    async def run(self, photos: list[bytes]) -> list[dict[str, float]]:
        """A batch of photos. It holds up the replica's event loop, as the documentation's classifier does."""
        batch = np.stack([self.work.tensor(photo) for photo in photos])
        return [work.named(one) for one in self.work.probabilities(batch)]

    async def __call__(self, request: Request) -> dict[str, float]:
        """The request's body is the photo."""
        return await self.run(await request.body())


@serve.deployment(num_replicas=work.CORES, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=8)
class OneByOne:
    """One replica per core, one photo at a time in a thread, while the next ones are being received.

    HAProxy is in front of them (RAY_SERVE_ENABLE_HA_PROXY, "high throughput mode"): it answers a third more requests than
    Ray's own proxy, which is written in Python.
    """

    def __init__(self) -> None:
        self.work = work.load()
        self.free = asyncio.Semaphore(1)

    def answer(self, photo: bytes) -> dict[str, float]:
        """One photo."""
        return work.named(self.work.probabilities(self.work.tensor(photo)[np.newaxis])[0])

    async def __call__(self, request: Request) -> dict[str, float]:
        """The request's body is the photo."""
        photo = await request.body()
        async with self.free:
            return await asyncio.to_thread(self.answer, photo)


def main() -> None:
    """Start Ray on this machine's cores, and serve on PORT until stopped."""
    ray.init(num_cpus=work.CORES, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    served = Batching if work.variant() == "documented" else OneByOne
    serve.run(served.bind(), route_prefix="/predict", blocking=True)


if __name__ == "__main__":
    main()
