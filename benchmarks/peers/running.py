"""Runs a peer, one variant at a time, in its own environment until it is stopped.

with running(PEERS["litserve"], "ours") as server:
    server.url, server.seconds, server.memory()
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.peers.servers import Peer, requirements
from benchmarks.start import free_port

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".peers"
PATIENCE_S = 60
"""How long a server may take until its first answer."""


class Failed(Exception):
    """A peer could not be installed or did not answer; the message quotes its error."""


@dataclass(frozen=True)
class Server:
    """A server that answers: its `url`, `seconds` from its start to its first answer, and the probability it gave."""

    pid: int
    url: str
    seconds: float
    cat: float

    def memory(self) -> dict[str, float]:
        """Megabytes of the whole process tree: PSS counts shared memory once, RSS once per process."""
        sums = {"pss": 0, "rss": 0}
        for pid in _tree(self.pid):
            with contextlib.suppress(OSError):  # a process that ended meanwhile
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    kind, _, rest = line.partition(":")
                    if kind.lower() in sums:
                        sums[kind.lower()] += int(rest.split()[0])
        return {f"{kind}_megabytes": round(kilobytes / 1024, 1) for kind, kilobytes in sums.items()}

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Pause all its processes while another server is measured: some poll for work a thousand times a second."""
        tree = _tree(self.pid)
        _signal(tree, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(tree, signal.SIGCONT)


def install(peer: Peer) -> Path:
    """The Python of a peer's environment, which is created if it is missing or its requirements have changed."""
    folder, required = PLACE / peer.name, (ROOT / requirements(peer)).read_text()
    stamp, python = folder / "installed.txt", folder / "bin" / "python"
    base = peer.python if Path(peer.python).is_file() else sys.executable
    if not stamp.exists() or stamp.read_text() != required:
        subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)  # noqa: S603  our own arguments
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(requirements(peer)),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
        if done.returncode:
            raise Failed(_last_error(done.stderr))
        stamp.write_text(required)
    return python


def installed_megabytes(peer: Peer) -> float:
    """Megabytes of the packages in a peer's environment, without the pip and setuptools that every new one has."""
    (packages,) = (PLACE / peer.name).glob("lib/python*/site-packages")
    files = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
    own = (path for path in files if path.relative_to(packages).parts[0].split("-")[0] not in ("pip", "setuptools"))
    return round(sum(path.stat().st_size for path in own) / 1e6, 1)


def version(peer: Peer) -> str:
    """The version of the peer that is installed."""
    (info,) = (PLACE / peer.name).glob(f"lib/python*/site-packages/{peer.package.replace('-', '_')}-*.dist-info")
    return info.name.removesuffix(".dist-info").split("-")[1]


@contextlib.contextmanager
def running(peer: Peer, variant: str, photo: bytes) -> Iterator[Server]:
    """Start a peer and wait until it has answered `photo`; stop it, and all that it started, in the end.

    Raises Failed when it ends or has given no answer after PATIENCE_S.
    """
    python = install(peer)
    ports = {"port": str(free_port()), "spare": str(free_port())}
    more = dict(peer.environment) | dict(peer.besides.get(variant, {}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CATSCOPE_", "PYTHON"))}
    environment |= {"VARIANT": variant, "PORT": ports["port"], "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "1"}
    environment |= {name: value.format(**ports) for name, value in more.items()}
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"  # some start helper programs by name
    program, *arguments = (part.format(**ports) for part in peer.command)
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        command = [str(python.parent / program), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True)  # noqa: S603
        try:
            url = f"http://127.0.0.1:{ports['port']}{peer.path}"
            cat, reason = _first_answer(peer, photo, url, process, began)
            if cat is None:
                output.seek(0)
                raise Failed(reason or _last_error(output.read()))
            yield Server(process.pid, url, round(time.perf_counter() - began, 2), cat)
        except httpx2.TransportError as error:
            output.seek(0)
            raise Failed(f"under load: {error}; its last error: {_last_error(output.read())}") from error
        finally:
            _stop(process)


def _first_answer(
    peer: Peer, photo: bytes, url: str, process: subprocess.Popen[bytes], began: float
) -> tuple[float | None, str]:
    """The probability in the first answer 200; None when the server ended, or, with the reason, when the time is over."""
    reason = f"no answer after {PATIENCE_S} s"
    while time.perf_counter() - began < PATIENCE_S:
        if process.poll() is not None:
            return None, ""
        with contextlib.suppress(httpx2.TransportError):  # it does not listen yet
            answer = ask(peer, url, photo)
            if answer.status_code == 200:
                return peer.cat(answer.json()), ""
            reason = f"status {answer.status_code}: {answer.text[:200]}"
        time.sleep(0.01)
    return None, reason


def ask(peer: Peer, url: str, photo: bytes) -> httpx2.Response:
    """Send one photo and wait for the answer. Raises httpx2.TransportError when none comes."""
    headers = {"Content-Type": peer.content_type, **peer.headers}
    return httpx2.post(url, content=peer.body(photo), headers=headers, timeout=PATIENCE_S)


def _last_error(output: str) -> str:
    """The last line of a server's output that looks like an exception, else one that mentions an error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    errors = [line for line in lines if "error" in line.lower()]
    return (raised or errors or lines or ["nothing"])[-1][:300]


def _tree(pid: int) -> list[int]:
    """A process, its descendants, and what it left behind in its session when it ended."""
    children: dict[int, list[int]] = {}
    session = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, parent, _, leader = status.read_text().rpartition(")")[2].split()[:4]
            children.setdefault(int(parent), []).append(int(status.parent.name))
            if int(leader) == pid:
                session.append(int(status.parent.name))
    tree = [pid]
    for one in tree:
        tree += children.get(one, [])
    return list(dict.fromkeys(tree + session))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server; kill the processes that are left after 15 seconds."""
    tree = _tree(process.pid)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    _signal([pid for pid in tree if pid != process.pid or process.poll() is None], signal.SIGKILL)
    process.wait()


def _signal(tree: list[int], number: int) -> None:
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
