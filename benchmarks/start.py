"""How fast the service is there and how much it takes: from `python -m app` to ready, resident memory, size of an answer.

    .venv/bin/python benchmarks/start.py

Prints a table and writes benchmarks/start.json. Memory is read after 200 photos.
"""

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import skimage.data

ROOT = Path(__file__).parent.parent
RUNS = 7
PHOTOS = 200


def main() -> None:
    """Start the service RUNS times, then ask it PHOTOS times."""
    photo = (Path(skimage.data.data_dir) / "chelsea.png").read_bytes()
    seconds, imports = [], []
    for run in range(-1, RUNS):
        imports.append(importing())
        started, process, url = start()
        seconds.append(started)
        if run == RUNS - 1:
            size = 0
            for _ in range(PHOTOS):
                size = len(httpx2.post(f"{url}/predict", files={"file": photo}).raise_for_status().content)
            megabytes = resident(process.pid)
        process.terminate()
        process.wait()
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds_to_ready": {
            "median": round(statistics.median(seconds), 3),
            "fastest": round(min(seconds), 3),
            "slowest": round(max(seconds), 3),
            "runs": RUNS,
        },
        "seconds_to_import_the_packages": round(statistics.median(imports), 3),
        "resident_megabytes": {"value": round(megabytes, 1), "after_photos": PHOTOS},
        "answer_bytes": size,
    }
    (ROOT / "benchmarks" / "start.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def start() -> tuple[float, subprocess.Popen[bytes], str]:
    """Start the service and wait until it is ready: the seconds that took, the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    environment = compiling() | {"CATSCOPE_PORT": str(port), "CATSCOPE_LOG_LEVEL": "error"}
    process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment)
    client = httpx2.Client()
    while True:
        try:
            if client.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return time.perf_counter() - began, process, f"http://127.0.0.1:{port}"
        except httpx2.TransportError:
            pass
        if process.poll() is not None:
            sys.exit("the service did not start")
        time.sleep(0.005)


def compiling() -> dict[str, str]:
    """This environment, in which Python keeps what it compiled, as it does unless it is told not to: a first start compiles
    every package anew, which takes longer than all the rest.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def importing() -> float:
    """Seconds that a bare Python takes to import what the service is made of: a machine's speed changes, the ratio less."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fastapi, numpy, onnxruntime, PIL.Image, uvicorn"], check=True, env=compiling())
    return time.perf_counter() - began


def resident(pid: int) -> float:
    """The resident memory of a process in megabytes, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def table(result: dict) -> str:
    """The result as a Markdown table."""
    ready, memory = result["seconds_to_ready"], result["resident_megabytes"]
    bare = result["seconds_to_import_the_packages"]
    return "\n".join(
        [
            "| what | measured |",
            "|---|---|",
            f"| from `python -m app` to ready | {ready['median']:.2f} s (median of {ready['runs']}) |",
            f"| importing the same packages in a bare Python, in the same run | {bare:.2f} s |",
            f"| resident memory after {memory['after_photos']} photos | {memory['value']:.0f} MB |",
            f"| `POST /predict` with all thumbnails, size of the answer | {result['answer_bytes'] / 1000:.0f} kB |",
        ]
    )


if __name__ == "__main__":
    main()
