"""A service whose only thread is busy."""

import contextlib
import threading

from fastapi.testclient import TestClient

from app.errors import DeadlineExceeded


class Busy:
    """Holds the service's only thread until the block ends."""

    def __init__(self, client: TestClient) -> None:
        self._workers = client.app.state.service.workers
        self._client = client
        self._free, self._held = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        def hold() -> None:
            self._held.set()
            self._free.wait(10)

        self._call = self._client.portal.start_task_soon(self._run, hold)
        assert self._held.wait(10)

    async def _run(self, hold) -> None:
        with contextlib.suppress(DeadlineExceeded):
            await self._workers.run(hold)

    def __exit__(self, *exception: object) -> None:
        self._free.set()
        self._call.result(10)
