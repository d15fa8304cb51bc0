"""A hundred thousand requests of every kind, which leave nothing behind."""

import itertools
import random
import re
import threading
import time
from collections import Counter

import httpx2
import pytest

from tests.conftest import COMMAND, serving
from tests.faults.clients import Connection, LostError, wait_until
from tests.faults.mix import Mix
from tests.faults.service import MODEL, number, resident
from tests.record import record


@pytest.mark.promise("P17")
@pytest.mark.soak
def test_a_hundred_thousand_requests_leave_nothing_behind(cat_image):
    mix, total, threads = Mix(cat_image), 100_000, 6
    numbers, statuses, wrong = itertools.count(), Counter(), []
    lock = threading.Lock()
    memory: dict[int, float] = {}

    def ask(seed: int, until: int) -> None:
        source = random.Random(f"{seed} {until}")
        with Connection(url) as connection:
            while next(numbers) < until:
                request_bytes, expected = mix.draw(source)
                try:
                    answer = connection.ask(request_bytes)
                except LostError as error:
                    wrong.append(f"{error}: {request_bytes.partition(b'HTTP')[0]!r}")
                    return
                with lock:
                    statuses[answer.status] += 1
                    if answer.status != expected and not (expected is None and answer.status in (415, 422)):
                        wrong.append(f"{answer.status} to {request_bytes.partition(b'HTTP')[0]!r}: {answer.body[:300]!r}")

    with serving(*COMMAND, model_dir=MODEL, log_level="error") as (process, url):
        document = httpx2.get(f"{url}/openapi.json").json()
        endpoints = [
            re.compile(re.sub(r"{\w+}", "[^/]+", path)) for path, ways in document["paths"].items() if "post" in ways
        ]
        assert all(any(path.fullmatch(tested) for tested in mix.paths) for path in endpoints), (
            "not every endpoint for photos is tested"
        )
        began = time.perf_counter()
        for until in range(5_000, total + 1, 5_000):
            numbers = itertools.count(until - 5_000)
            running = [threading.Thread(target=ask, args=(seed, until), daemon=True) for seed in range(threads)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
            memory[until] = resident(process.pid)
            print(f"{until}: {time.perf_counter() - began:.0f} s, {dict(statuses)}, {memory[until]} MB", flush=True)
            assert wrong == []
        seconds = time.perf_counter() - began
        wait_until(lambda: number(url, "catscope_connections") == 1, "no connection stays")
        for nothing in ("held_bytes", "working", "waiting"):
            assert number(url, f"catscope_{nothing}") == 0
    assert sum(statuses.values()) == total
    assert memory[total] - memory[total // 2] < 5
    record(
        "100,000 requests",
        requests=total,
        per_second=round(total / seconds, 1),
        statuses={str(status): count for status, count in sorted(statuses.items())},
        resident_mb_after={str(until): memory[until] for until in (5_000, 50_000, 75_000, 100_000)},
        growth_mb_of_the_second_half=round(memory[total] - memory[total // 2], 1),
    )
