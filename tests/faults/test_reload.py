"""Networks that are replaced, broken or overwritten while they are served."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import COMMAND, serving
from tests.faults.clients import HANG_S, Connection, request, tiny, wait_until
from tests.faults.service import begun, number

UNIT = "/explain/unit?network=dense&stage=dense1&channel=3"


@pytest.fixture
def folder(model_dir, tmp_path) -> Path:
    """The networks `dense` and `tutorial`, in a copy of this test's own."""
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


@contextlib.contextmanager
def served(folder: Path, **settings: object) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A service of that folder: the process, its address and the lines of its log as they come."""
    lines: list[str] = []
    with serving(*COMMAND, model_dir=folder, **settings) as (process, url):

        def listen() -> None:
            for line in process.stderr:
                lines.append(line)  # one by one: a test looks at them meanwhile  # noqa: PERF402

        listening = threading.Thread(target=listen)
        listening.start()
        try:
            yield process, url, lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            listening.join()


def new_version(folder: Path, name: str, version: str) -> None:
    """Replace a network by another version as one should: written beside it, then renamed."""
    new, old = folder.parent / f"{name}-new", folder.parent / f"{name}-{version}-old"
    shutil.copytree(folder / name, new)
    contract = json.loads((new / "contract.json").read_text())
    (new / "contract.json").write_text(json.dumps(contract | {"version": version}))
    os.rename(folder / name, old)
    os.rename(new, folder / name)


def replace(path: Path, data: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(data)
    os.replace(beside, path)


def post(url: str, photo: bytes, path: str = "/predict?network=dense") -> httpx2.Response:
    return httpx2.post(url + path, files={"file": photo}, timeout=HANG_S)


def reloads(url: str, outcome: str) -> float:
    return number(url, "catscope_reloads_total", outcome=outcome)


@pytest.mark.promise("P29")
def test_a_new_version_is_served_after_sighup_and_no_request_fails_meanwhile(folder, cat_image):
    photo = tiny(cat_image)
    stop = threading.Event()
    versions: list[list[str]] = [[] for _ in range(4)]
    failed: list[str] = []

    def ask(versions_seen: list[str]) -> None:
        with Connection(url) as connection:
            while not stop.is_set():
                answer = connection.ask(request(photo, "/predict?feature_maps=none&network=dense"))
                if answer.status != 200:
                    failed.append(f"{answer.status} {answer.body!r}")
                    return
                versions_seen.append(json.loads(answer.body)["model"]["version"])

    with served(folder, log_level="warning") as (process, url, lines):
        threads = [threading.Thread(target=ask, args=(versions_seen,)) for versions_seen in versions]
        for thread in threads:
            thread.start()
        try:
            for turn in range(1, 6):
                wait_until(lambda: all(versions) or failed, "each client has an answer")
                new_version(folder, "dense", f"0.1.{turn}")
                process.send_signal(signal.SIGHUP)
                expected = f"0.1.{turn}"
                wait_until(
                    lambda expected=expected: failed or all(versions_seen[-1] == expected for versions_seen in versions),
                    expected,
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join(HANG_S)
        assert failed == []
        for versions_seen in versions:
            assert list(dict.fromkeys(versions_seen)) == ["0.0.1", *(f"0.1.{turn}" for turn in range(1, 6))], "in this order"
        assert reloads(url, "done") == 5
        assert lines == []


@pytest.mark.parametrize("processes", [1, 2])
def test_a_reload_that_is_requested_during_the_start_does_no_harm(model_dir, cat_photo, processes):
    process = begun(model_dir, processes)
    try:
        url = process.stderr.readline().split()[-1]  # "listening on http://..."

        def ready() -> bool:
            process.send_signal(signal.SIGHUP)
            assert process.poll() is None
            return httpx2.get(f"{url}/health/ready", timeout=HANG_S).status_code == 200

        wait_until(ready, "it is ready all the same")
        assert post(url, cat_photo).status_code == 200
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=HANG_S)[1]
        assert process.returncode in (0, -signal.SIGTERM)
        assert "another takes its place" not in log
        assert "ERROR" not in log
    finally:
        process.kill()
        process.communicate()


def no_network_file(folder: Path) -> str:
    (folder / "dense" / "model.onnx").unlink()
    return "model.onnx cannot be read: No such file"


def half_a_network_file(folder: Path) -> str:
    complete = (folder / "dense" / "model.onnx").read_bytes()
    replace(folder / "dense" / "model.onnx", complete[: len(complete) // 2])
    return "its contract says"


def another_network_file(folder: Path) -> str:
    replace(folder / "dense" / "model.onnx", (folder / "tutorial" / "model.onnx").read_bytes())
    return "its contract says"


def no_network_inside(folder: Path) -> str:
    """The contract fits the file, but no runtime can run it."""
    contract = json.loads((folder / "dense" / "contract.json").read_text())
    contract["files"]["model.onnx"] = "36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068"  # of one space
    replace(folder / "dense" / "contract.json", json.dumps(contract).encode())
    replace(folder / "dense" / "model.onnx", b" ")
    return "model.onnx cannot be run"


def half_a_contract(folder: Path) -> str:
    complete = (folder / "dense" / "contract.json").read_bytes()
    replace(folder / "dense" / "contract.json", complete[: len(complete) // 2])
    return "contract.json is not a contract"


def no_contract(folder: Path) -> str:
    (folder / "dense" / "contract.json").unlink()
    return "dense has lost its contract.json"


def nothing(folder: Path) -> str:
    shutil.rmtree(folder)
    return "no network in"


def no_json_beside_it(folder: Path) -> str:
    replace(folder / "dense" / "metrics.json", b"{")
    return "metrics.json is not JSON"


BREAKS = [
    no_network_file,
    half_a_network_file,
    another_network_file,
    no_network_inside,
    half_a_contract,
    no_contract,
    nothing,
    no_json_beside_it,
]


@pytest.mark.promise("P30")
@pytest.mark.parametrize("break_it", BREAKS, ids=lambda broken: broken.__name__)
def test_a_broken_network_is_refused_in_one_line_and_the_old_one_stays(folder, cat_photo, break_it):
    shutil.copytree(folder, folder.parent / "intact")
    with served(folder, network="dense", log_level="warning") as (process, url, lines):
        before = post(url, cat_photo, "/predict").json()
        message = break_it(folder)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: reloads(url, "refused"), "the reload is refused")
        after = post(url, cat_photo, "/predict").json()
        for same in ("probabilities", "feature_maps", "model"):
            assert after[same] == before[same]
        assert httpx2.get(f"{url}/health/ready").status_code == 200
        wait_until(lambda: lines, "the log says why")
        assert len(lines) == 1
        assert lines[0].startswith("ERROR")
        assert message in lines[0]

        shutil.rmtree(folder, ignore_errors=True)
        os.rename(folder.parent / "intact", folder)
        new_version(folder, "dense", "0.0.2")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: reloads(url, "done"), "an intact one is loaded after it")
        assert post(url, cat_photo, "/predict").json()["model"]["version"] == "0.0.2"


def written_over(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    """What cp does first."""
    os.truncate(path, 0)


@pytest.mark.promise("P31")
@pytest.mark.parametrize("harm", [written_over, shortened, emptied], ids=lambda harm: harm.__name__)
def test_a_file_overwritten_in_place_fails_only_requests_for_its_weights(folder, cat_photo, harm):
    with served(folder, log_level="warning") as (process, url, lines):
        before = post(url, cat_photo).json()
        harm(folder / "dense" / "model.onnx")
        after = post(url, cat_photo).json()
        assert after["probabilities"] == before["probabilities"]
        answer = post(url, cat_photo, UNIT)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert process.poll() is None
        assert not any("Traceback" in line for line in lines)


def test_a_file_replaced_by_rename_still_gives_the_old_weights(folder, cat_photo, model_dir):
    with served(folder, log_level="warning") as (_, url, lines):
        replace(folder / "dense" / "model.onnx", b"another")
        answer = post(url, cat_photo, UNIT)
        assert answer.status_code == 200
        assert lines == []
    with served(model_dir) as (_, url, _):
        undisturbed = post(url, cat_photo, UNIT).json()
    for member in answer.json().keys() - {"timings_ms"}:
        assert answer.json()[member] == undisturbed[member]
