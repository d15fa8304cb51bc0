"""A hundred thousand requests of every kind, which leave nothing behind."""

import base64
import itertools
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence

import httpx2
import numpy as np
import pytest

from benchmarks import photos
from benchmarks.clients import BOUNDARY, FORM, form
from tests.conftest import COMMAND, encoded, serving
from tests.faults.clients import Connection, LostError, posted, request, tiny, wait_until
from tests.faults.service import MODEL, number, resident
from tests.record import record


def json_of_base64(photo: bytes) -> bytes:
    return json.dumps({"inputs": base64.b64encode(photo).decode()}).encode()


def batch(several: Sequence[bytes]) -> bytes:
    """Photos as parts of one form."""
    end = f"--{BOUNDARY}--\r\n".encode()
    return b"".join(form(photo, "files").removesuffix(end) for photo in several) + end


def tensor(image) -> bytes:
    """A photo as the Open Inference Protocol has it, for a network with an input of 100 by 100."""
    data = np.asarray(image.resize((100, 100)), np.float32).ravel().tolist()
    return json.dumps({"inputs": [{"name": "image", "shape": [1, 100, 100, 3], "datatype": "FP32", "data": data}]}).encode()


class Mix:
    """Requests with photos, drawn by weight; what each must be answered."""

    def __init__(self, image) -> None:
        small, web = tiny(image), photos.web()
        kinds = [encoded(image.resize((100, 75)), kind) for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF")]
        broken = [small[: len(small) // 2], b"no photo", small[:300]]
        self._drawn: list[tuple[bytes, int | None]] = []
        self._weights: list[float] = []
        self.paths: set[str] = set()

        def add(weight: float, path: str, bodies: Sequence[bytes], kind: str = "", *, refused: bool = False) -> None:
            """Photos to be sent as forms, or bodies of another kind."""
            self.paths.add(path.split("?")[0])
            for data in bodies:
                request_bytes = posted(path, data, kind) if kind else request(data, path)
                self._drawn.append((request_bytes, None if refused else 200))
                self._weights.append(weight / len(bodies))

        for network in ("dense", "tutorial"):
            add(25, f"/predict?network={network}&feature_maps=none", [small, *kinds])
            add(4, f"/predict?network={network}&feature_maps=none", web)
            add(3, f"/predict?network={network}&feature_maps=summary", [small])
            add(1, f"/predict?network={network}&heatmap=true", [small, *web])
            add(1, f"/feature-maps?network={network}", [small])
            add(1, f"/explain/unit?network={network}&stage=scores&channel=1", [small, *web])
            add(1, f"/explain/stage?network={network}&stage=scores", [small])
            add(3, f"/predict?network={network}", broken, refused=True)
            add(1, f"/classify?network={network}", [small, *kinds], "image/jpeg")
            add(0.5, f"/classify?network={network}", [json_of_base64(small)], "application/json")
            add(0.5, f"/predict/batch?network={network}", [batch([small, *broken, *kinds])], FORM)
            version = json.loads((MODEL / network / "contract.json").read_text())["version"]
            for path in (f"/v2/models/{network}/infer", f"/v2/models/{network}/versions/{version}/infer"):
                add(0.2, path, [tensor(image)], "application/json")
        add(10, "/predict?network=cat&feature_maps=none", [small, *web])
        add(0.5, "/predict?network=cat&heatmap=true", web)
        add(0.5, "/feature-maps?network=cat&stages=block4", [small])
        add(0.5, "/explain/unit?network=cat&stage=stem&row=3&column=4&channel=5", [small])
        add(0.2, "/feature-maps/block1_conv?network=tutorial", [small])
        add(0.1, "/guises", [small])

    def draw(self, source: random.Random) -> tuple[bytes, int | None]:
        return source.choices(self._drawn, self._weights)[0]


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
