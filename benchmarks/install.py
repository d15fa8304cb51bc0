"""How long it takes from a bare Python to the first answer, less the download: with pip, pipx and uvx.

    .venv/bin/python -m benchmarks.install --out benchmarks/install.json

Builds the wheel and downloads its packages into the same folder. Each run then installs from that folder alone, without a
cache or bytecode, serves, and asks for one photo. Prints a table and writes the result.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import skimage.data

from benchmarks.start import ROOT, free_port

RUNS = 3


def main() -> None:
    """Install it with each tool, RUNS times in turns."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheels = folder / "wheels"
        run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels)
        (ours,) = wheels.iterdir()
        run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, ours)
        packages, size = len(list(wheels.iterdir())), sum(path.stat().st_size for path in wheels.iterdir())
        run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels, "pip")  # pipx has its own
        run(sys.executable, "-m", "venv", folder / "pipx")
        run(folder / "pipx" / "bin" / "python", "-m", "pip", "install", "--quiet", "pipx")
        seconds: dict[str, list[float]] = {"pip": [], "pipx": [], "uvx": []}
        for turn in range(RUNS):
            for tool, measured in seconds.items():
                measured.append(first_answer(tool, ours, folder, folder / f"{tool}-{turn}"))
        result = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "wheel_bytes": ours.stat().st_size,
            "download_bytes": size,
            "packages": packages,
            "seconds": {
                tool: {
                    "median": round(statistics.median(measured), 1),
                    "slowest": round(max(measured), 1),
                    "runs": RUNS,
                }
                for tool, measured in seconds.items()
            },
        }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def first_answer(tool: str, wheel: Path, tools: Path, folder: Path) -> float:
    """Seconds from nothing to the answer for a photo. `tools` holds the wheels, and an environment with pipx."""
    port = free_port()
    home = {name: str(folder / name) for name in ("HOME", "UV_CACHE_DIR", "UV_TOOL_DIR", "PIPX_HOME", "PIPX_BIN_DIR")}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= home | {"CATSCOPE_PORT": str(port), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tools / "wheels")}
    photo = (Path(skimage.data.__file__).parent / "chelsea.png").read_bytes()
    folder.mkdir()
    began = time.perf_counter()
    if tool == "uvx":
        command = [Path(sys.executable).with_name("uvx"), "--quiet", "--no-index", "--find-links", tools / "wheels"]
        command += ["--python", sys.executable, "--from", wheel, "catscope"]
    elif tool == "pipx":
        pipx = [tools / "pipx" / "bin" / "pipx", "install", "--quiet", "--python", sys.executable, wheel]
        run(*pipx, environment=environment)
        command = [folder / "PIPX_BIN_DIR" / "catscope"]
    else:
        run(sys.executable, "-m", "venv", folder / "venv")
        run(folder / "venv" / "bin" / "pip", "install", "--quiet", wheel, environment=environment)
        command = [folder / "venv" / "bin" / "catscope"]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=nowhere, stderr=nowhere)  # noqa: S603  our own
    try:
        while True:
            try:
                answer = httpx2.post(f"http://127.0.0.1:{port}/predict", files={"file": photo}, timeout=60)
                if answer.status_code == 200:
                    return time.perf_counter() - began
            except httpx2.TransportError:
                pass
            if process.poll() is not None:
                sys.exit(f"the service that {tool} installed did not start")
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait()


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command in the repository; it may print, but must not fail."""
    subprocess.run(command, cwd=ROOT, env=environment, check=True)  # noqa: S603  our own arguments


def table(result: dict) -> str:
    """The result as a Markdown table."""
    rows = ["| from a bare Python to the first answer, less the download | median | slowest |", "|---|---|---|"]
    for tool, seconds in result["seconds"].items():
        rows.append(f"| `{tool}` | {seconds['median']:.1f} s | {seconds['slowest']:.1f} s |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
