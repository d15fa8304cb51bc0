"""A million requests, with clients that leave, jobs that teach and reloads among them: nothing may grow with time."""

import itertools
import os
import random
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.app.teaching import finished, photos
from tests.conftest import COMMAND, serving
from tests.faults.clients import Connection, LostError, request, tiny, wait_until
from tests.faults.mix import Mix
from tests.faults.service import MODEL, number, resident
from tests.record import record

TOTAL = 1_000_000
ROUND = 10_000
"""Requests after which everything is measured, something is taught and forgotten, and the networks are loaded again."""

HOURS = float(os.environ.get("SOAK_HOURS", "1000"))
"""After which the test ends, though there were fewer than TOTAL requests."""

SETTLED = 3
"""Rounds after which nothing may grow any more: caches are full, every kind of request was there."""


class Clients:
    """Six that ask and read the answer, over one connection or over many, and two that leave before they have it."""

    def __init__(self, url: str, mix: Mix, small: bytes) -> None:
        self.url, self.mix, self.small = url, mix, small
        self.statuses: Counter[int] = Counter()
        self.left = 0
        self.wrong: list[str] = []
        self.quick_ms: list[float] = []
        self._lock = threading.Lock()

    def round(self, number_of_round: int) -> None:
        """Send ROUND requests."""
        numbers = itertools.count()
        running = [
            threading.Thread(target=target, args=(f"{seed} {number_of_round}", numbers), daemon=True)
            for target, count in ((self._ask, 6), (self._leave, 2))
            for seed in range(count)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def _ask(self, seed: str, numbers: "itertools.count[int]") -> None:
        source = random.Random(seed)
        connection = Connection(self.url)
        while next(numbers) < ROUND and not self.wrong:
            data, expected = self.mix.draw(source)
            began = time.perf_counter()
            try:
                answer = connection.ask(data)
            except LostError as error:
                self.wrong.append(f"{error}: {data.partition(b'HTTP')[0]!r}")
                break
            with self._lock:
                self.statuses[answer.status] += 1
                if len(data) < 10_000 and b"network=dense&feature_maps=none" in data[:200]:
                    self.quick_ms.append((time.perf_counter() - began) * 1000)
                if answer.status != expected and not (expected is None and answer.status in (415, 422)):
                    self.wrong.append(f"{answer.status} to {data.partition(b'HTTP')[0]!r}: {answer.body[:300]!r}")
            if source.random() < 0.1:  # a client that comes anew
                connection.close()
                connection = Connection(self.url)
        connection.close()

    def _leave(self, seed: str, numbers: "itertools.count[int]") -> None:
        """Send a part of a request, or all of it, and leave: not more often than the cores can work on what is left behind."""
        source = random.Random(f"leaves {seed}")
        host, port = self.url[7:].split(":")
        data = request(self.small, "/predict?network=tutorial")
        while next(numbers) < ROUND and not self.wrong:
            with socket.create_connection((host, int(port)), 60) as connection:
                connection.sendall(data[: source.choice([1, 50, len(data) // 2, len(data)])])
                time.sleep(source.random() / 2)
            self.left += 1


def taught_and_forgotten(url: str, photo_folder: Path) -> None:
    with httpx2.Client(base_url=url, timeout=60) as client:
        job = client.post("/teach?network=soaked", files=photos(photo_folder, 5)).json()["job"]
        assert finished(client, job)["state"] == "done"
        assert client.delete("/models/soaked").status_code == 204


def decoders_of(pid: int) -> list[int]:
    """The processes in which it decodes."""
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return [int(child) for child in children if b"cage.child" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.promise("P17")
@pytest.mark.soak
@pytest.mark.endless
def test_a_million_requests_leave_nothing_behind(cat_image, photo_folder, tmp_path):
    began, rounds = time.monotonic(), []
    settings = {
        "store": tmp_path,
        "log_level": "error",
        "deadline_s": 60,
    }  # an hour may have minutes of other work beside it
    with serving(*COMMAND, model_dir=MODEL, **settings) as (process, url):
        clients = Clients(url, Mix(cat_image), tiny(cat_image))
        while len(rounds) * ROUND < TOTAL and time.monotonic() - began < HOURS * 3600:
            clients.quick_ms.clear()
            clients.round(len(rounds))
            assert clients.wrong == []
            taught_and_forgotten(url, photo_folder)
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: number(url, "catscope_reloads_total", outcome="done") > len(rounds), "a reload")
            wait_until(lambda: number(url, "catscope_connections") == 1, "no connection stays")
            for nothing in ("held_bytes", "working", "waiting"):
                assert number(url, f"catscope_{nothing}") == 0, nothing
            decoders = decoders_of(process.pid)
            rounds.append(
                {
                    "requests": sum(clients.statuses.values()) + clients.left,
                    "resident_mb": resident(process.pid),
                    "decoders": len(decoders),
                    "decoders_mb": round(sum(map(resident, decoders)), 1),
                    "descriptors": len(list(Path(f"/proc/{process.pid}/fd").iterdir())),
                    "threads": len(list(Path(f"/proc/{process.pid}/task").iterdir())),
                    "median_ms": round(statistics.median(clients.quick_ms), 1),
                }
            )
            print(f"{time.monotonic() - began:.0f} s: {rounds[-1]}", flush=True)
    assert len(rounds) > 2 * SETTLED
    settled = rounds[SETTLED:]
    half = settled[len(settled) // 2 :]
    record(
        "a million requests",
        requests=rounds[-1]["requests"],
        left_before_their_answer=clients.left,
        taught_and_forgotten=len(rounds),
        reloads=len(rounds),
        hours=round((time.monotonic() - began) / 3600, 2),
        statuses={str(status): count for status, count in sorted(clients.statuses.items())},
        first_settled=settled[0],
        last=rounds[-1],
        most={name: max(one[name] for one in settled) for name in settled[0]},
    )
    # The event loop's own pool adds a thread only when all it has are busy, at most four and one a core.
    room = {"descriptors": 2, "decoders": 0, "threads": (os.cpu_count() or 1) + 4}
    for name, more in room.items():
        assert max(one[name] for one in half) <= max(one[name] for one in settled[: len(settled) - len(half)]) + more, name
    for name in ("resident_mb", "decoders_mb"):
        assert statistics.mean(one[name] for one in half[-3:]) - statistics.mean(one[name] for one in half[:3]) < 10, name
