"""Our parent of several processes (app/server/processes.py) beside uvicorn's own: seconds from start until all serve.

    .venv/bin/python -m benchmarks.supervisors

Both serve the same application, loaded before it serves, with the same shortcuts of app/__main__.py. Starts alternate, so
that both meet the same machine; one start of each goes before those that count. Prints a table and writes
benchmarks/supervisors.json.
"""

import gc
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RUNS = 5
COUNTS = (2, 4)
SERVING = "Application startup complete."
"""What uvicorn logs in each process when it begins to serve."""
GIVE_UP_S = 60


def main() -> None:
    """Start both RUNS times for each number of processes."""
    from benchmarks.machine import machine  # not above: uvicorn's processes import this module, and would pay for it

    result: dict[str, Any] = {"machine": machine(), "runs": RUNS, "seconds_until_all_serve": {}}
    for count in COUNTS:
        seconds: dict[str, list[float]] = {"catscope": [], "uvicorn": []}
        for run in range(-1, RUNS):
            for name, measured in seconds.items():
                took = start(name, count)
                if run >= 0:
                    measured.append(took)
        medians = {name: round(statistics.median(measured), 2) for name, measured in seconds.items()}
        ratio = round(medians["uvicorn"] / medians["catscope"], 2)
        result["seconds_until_all_serve"][str(count)] = medians | {"uvicorn_to_catscope": ratio}
        print(
            f"{count} processes: ours {medians['catscope']} s, uvicorn's {medians['uvicorn']} s, {ratio} times", flush=True
        )
    (ROOT / "benchmarks" / "supervisors.json").write_text(json.dumps(result, indent=1) + "\n")


def start(name: str, count: int) -> float:
    """Start the service under the supervisor of that name and stop it again; the seconds until `count` processes served."""
    from benchmarks.start import free_port

    port = free_port()
    environment = os.environ | {"CATSCOPE_PORT": str(port)}
    command = [sys.executable, "-m", "app"]
    with tempfile.NamedTemporaryFile("w+") as log:
        if name == "catscope":
            environment["CATSCOPE_PROCESSES"] = str(count)
        else:
            factory = ["benchmarks.supervisors:application", "--factory", "--port", str(port), "--workers", str(count)]
            command = [sys.executable, "-m", "uvicorn", *factory]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log, start_new_session=True)  # noqa: S603 its arguments are above
        try:
            while Path(log.name).read_text().count(SERVING) < count:
                if process.poll() is not None or time.perf_counter() - began > GIVE_UP_S:
                    sys.exit(f"{name} did not start: {Path(log.name).read_text()}")
                time.sleep(0.005)
            return time.perf_counter() - began
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def application() -> object:
    """The application as a process of ours serves it; what uvicorn's processes call."""
    gc.disable()
    sys.modules["pydantic.v1"] = None  # type: ignore[assignment]  # see app/__main__.py
    from app import main

    app = main.create_app()
    app.state.service.load()
    gc.freeze()
    gc.enable()
    return app


if __name__ == "__main__":
    main()
