"""How fast the service starts: from `python -m app` to ready, and a bare import of its packages; also an answer's size.

    .venv/bin/python benchmarks/start.py

The packages are those that `make serve` installs, here in build/served: beside those of development, FastAPI imports more.
Prints a table and writes benchmarks/start.json. The first start is not counted: it compiles and caches Python's bytecode.
"""

import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import skimage.data

ROOT = Path(__file__).parent.parent
SERVED = ROOT / "build" / "served"
RUNS = 9


def main() -> None:
    """Start the service RUNS times, each beside a bare import, then ask it once."""
    subprocess.run(["make", "--silent", f"VENV={SERVED}", f"{SERVED}/.serve"], cwd=ROOT, check=True)  # noqa: S603, S607
    python = str(SERVED / "bin" / "python")
    photo = (Path(skimage.data.__file__).parent / "chelsea.png").read_bytes()
    seconds, imports = [], []
    for run in range(-1, RUNS):
        importing_took = importing(python)
        started, process, url = start(python=python)
        size = len(httpx2.post(f"{url}/predict", files={"file": photo}).raise_for_status().content)
        process.terminate()
        process.wait()
        if run >= 0:
            seconds.append(started)
            imports.append(importing_took)
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "seconds_to_ready": {
            "median": round(statistics.median(seconds), 3),
            "fastest": round(min(seconds), 3),
            "slowest": round(max(seconds), 3),
            "runs": RUNS,
        },
        "seconds_to_import_the_packages": round(statistics.median(imports), 3),
        "answer_bytes": size,
    }
    (ROOT / "benchmarks" / "start.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def start(folder: Path = ROOT, python: str = sys.executable, **settings: str) -> tuple[float, subprocess.Popen[bytes], str]:
    """Start the service of a folder as users do, with that Python and those variables, and wait until it is ready: seconds
    that took, the process, its address.
    """
    port = free_port()
    began = time.perf_counter()
    environment = compiling() | {"CATSCOPE_PORT": str(port)} | settings
    nowhere = subprocess.DEVNULL  # the service logs as it does for users, but not into our output
    process = subprocess.Popen([python, "-m", "app"], cwd=folder, env=environment, stdout=nowhere, stderr=nowhere)  # noqa: S603
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


@contextlib.contextmanager
def revision(name: str) -> Iterator[Path]:
    """A folder with another revision, for as long as it is needed."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*git, "add", "--detach", "--quiet", folder, name], check=True)  # noqa: S603
        try:
            yield Path(folder)
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)  # noqa: S603


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def compiling() -> dict[str, str]:
    """The environment, with Python's bytecode cache on, as by default: a first start compiles every package, which takes
    longer than everything else.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def importing(python: str) -> float:
    """Seconds that a bare Python takes to import what the service is made of: a machine's speed changes, the ratio less."""
    began = time.perf_counter()
    command = [python, "-c", "import fastapi, numpy, onnxruntime, PIL.Image, uvicorn"]
    subprocess.run(command, check=True, env=compiling())  # noqa: S603  our own arguments
    return time.perf_counter() - began


def resident(pid: int) -> float:
    """The resident memory of a process in megabytes, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def table(result: dict) -> str:
    """The result as a Markdown table."""
    ready = result["seconds_to_ready"]
    bare = result["seconds_to_import_the_packages"]
    return "\n".join(
        [
            "| what | measured |",
            "|---|---|",
            f"| from `python -m app` to ready | {ready['median']:.2f} s (median of {ready['runs']}) |",
            f"| importing the same packages in a bare Python, in the same run | {bare:.2f} s |",
            f"| `POST /predict` with all thumbnails, size of the answer | {result['answer_bytes'] / 1000:.0f} kB |",
        ]
    )


if __name__ == "__main__":
    main()
