"""A service that teaches: while it answers, with several processes, on a full disk, and when it is stopped."""

import os
import signal
import sys
import threading
import time

import httpx2
import pytest

from app.teach.jobs import Jobs
from tests.app.teaching import MODEL, finished, photos, wait_until_free
from tests.conftest import COMMAND, ROOT, serving


@pytest.mark.parametrize("processes", [1, 2])
def test_a_service_teaches_while_it_answers_and_every_process_serves_the_network(
    tmp_path, photo_folder, cat_photo, processes
):
    settings = {"model_dir": MODEL, "store": tmp_path, "processes": processes, "log_level": "error"}
    with serving(*COMMAND, **settings) as (_, url), httpx2.Client(base_url=url, timeout=60) as client:
        failures = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = httpx2.post(f"{url}/predict?feature_maps=none", files={"file": cat_photo}, timeout=60)
                if answer.status_code != 200:
                    failures.append(answer.text)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            job = client.post("/teach?network=mine", files=photos(photo_folder, 10)).json()["job"]
            assert finished(client, job)["state"] == "done"
            for _ in range(300):
                fresh = [httpx2.get(f"{url}/models/mine", timeout=60).status_code for _ in range(8)]
                if fresh == [200] * 8:
                    break
                time.sleep(0.1)
            assert fresh == [200] * 8
        finally:
            stop.set()
            thread.join()
        assert failures == []


@pytest.mark.promise("P35")
def test_a_form_larger_than_the_memory_for_uploads_is_taken(tmp_path, photo_folder, cat_photo):
    settings = {"model_dir": MODEL, "store": tmp_path, "max_held_bytes": 1_000_000, "max_bytes": 900_000}
    parts = photos(photo_folder, 6) + [("a cat", (f"{n}.png", cat_photo + os.urandom(400_000))) for n in range(6)]
    assert sum(len(file[1]) for _, file in parts) > 3_000_000
    with serving(*COMMAND, **settings) as (_, url), httpx2.Client(base_url=url, timeout=60) as client:
        answer = client.post("/teach?network=mine", files=parts)
        assert answer.status_code == 202, answer.text
        job = finished(client, answer.json()["job"])
        assert job["state"] == "done"
        assert job["metrics"]["alike"] >= 5


SMALL_FILES = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
"""A file may have 200 kB: photos fit, a network does not. Writing more is an error, as on a full disk."""


@pytest.mark.promise("P41")
def test_a_full_disk_costs_a_job_and_nothing_else(tmp_path, photo_folder, cat_photo, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # Python 3.11 would leave halves of compiled modules
    serve = (sys.executable, "-c", SMALL_FILES + "os.execv(sys.executable, [sys.executable, '-m', 'app'])")
    with (
        serving(*serve, model_dir=MODEL, store=tmp_path / "store", log_level="error") as (_, url),
        httpx2.Client(base_url=url, timeout=60) as client,
    ):
        refused = client.post("/teach", files=[("one", ("large.png", cat_photo))] * 6)
        assert refused.status_code == 503
        assert "store" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        job = finished(client, client.post("/teach?network=mine", files=photos(photo_folder)).json()["job"])
        assert job["state"] == "failed"
        assert "cannot be written" in job["error"]
        assert list((tmp_path / "store" / "networks").iterdir()) == []
        assert client.post("/predict?feature_maps=none", files={"file": cat_photo}).status_code == 200


def test_a_stopped_service_ends_its_job(tmp_path, photo_folder):
    with serving(*COMMAND, model_dir=MODEL, store=tmp_path) as (process, url):
        job = httpx2.post(f"{url}/teach?network=mine", files=photos(photo_folder, 60), timeout=60).json()["job"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    wait_until_free(tmp_path / "jobs" / job)
    assert Jobs(tmp_path, {}).get(job).state == "failed"
    assert not (tmp_path / "networks" / "mine").exists()
