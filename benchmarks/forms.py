"""A photo in a form, read by our parser and by Starlette's: the server's CPU milliseconds per photo.

    .venv/bin/python -m benchmarks.forms

Three servers answer the photo's length: `ours` receives bodies in one buffer and reads the form in place
(app/server/body.py, app/schemas/form.py); `starlette` is uvicorn's own protocol and Starlette's reader, with a
`spool_max_size` that keeps every photo in memory; `buffer` is our receiver under Starlette's reader. Rounds alternate, so
that all see the same state of the machine. Prints a table and writes benchmarks/forms.json.
"""

import functools
import json
import multiprocessing
import os
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI, Request

from benchmarks.clients import FORM, form
from benchmarks.machine import machine

ROUNDS = 15
SIZES = {"phone": (3_500_000, 40), "web": (150_000, 200)}
"""Bytes of a photo, and how many of them are sent in a round."""
READERS = ("ours", "starlette", "buffer")


def main() -> None:
    """Send ROUNDS rounds of each size to each server, in turns."""
    servers = {reader: _start(reader) for reader in READERS}
    result: dict[str, Any] = {"machine": machine(), "rounds": ROUNDS, "cpu_ms_per_photo": {}}
    try:
        for name, (size, count) in SIZES.items():
            body = form(os.urandom(size))
            rounds: dict[str, list[float]] = {reader: [] for reader in READERS}
            for turn in range(-1, ROUNDS):
                for reader in READERS if turn % 2 else READERS[::-1]:
                    took = _round(servers[reader][1], body, size, count)
                    if turn >= 0:
                        rounds[reader].append(took)
            medians = {reader: round(statistics.median(measured), 3) for reader, measured in rounds.items()}
            ratios = {
                f"{reader}_to_ours": round(
                    statistics.median(a / b for a, b in zip(rounds[reader], rounds["ours"], strict=True)), 2
                )
                for reader in READERS[1:]
            }
            result["cpu_ms_per_photo"][name] = {"bytes": size} | medians | ratios
            print(f"{name}, {size} bytes: {medians} {ratios}", flush=True)
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.join()
    (Path(__file__).parent / "forms.json").write_text(json.dumps(result, indent=1) + "\n")


def _round(client: httpx2.Client, body: bytes, size: int, count: int) -> float:
    """Milliseconds of a core that the server took for each of `count` photos."""
    before = client.get("/cpu").json()
    for _ in range(count):
        answer = client.post("/", content=body, headers={"Content-Type": FORM})
        assert answer.json() == size, answer.text
    return (client.get("/cpu").json() - before) * 1000 / count


def _start(reader: str) -> tuple[multiprocessing.Process, httpx2.Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(reader, listening), daemon=True)
    process.start()
    return process, httpx2.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30)


def _serve(reader: str, listening: socket.socket) -> None:
    from starlette.formparsers import MultiPartParser

    from app.schemas.form import file
    from app.server.connection import ConnectionLimits, Protocol

    MultiPartParser.spool_max_size = 64 * 1024 * 1024
    app = FastAPI()

    @app.get("/cpu")
    async def cpu() -> float:
        return time.process_time()

    @app.post("/")
    async def read(request: Request) -> int:
        if reader == "ours":
            return len(await file(request))
        async with request.form() as parts:
            return len(await parts["file"].read())  # type: ignore[union-attr]

    http: Any = "httptools" if reader == "starlette" else functools.partial(Protocol, ConnectionLimits(20 * 1024 * 1024))
    config = uvicorn.Config(app, http=http, log_level="error", lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
