"""POST /teach: photos of people's own classes, jobs, and the networks that come of them."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from app.errors import Overloaded
from app.teach import jobs as teach_jobs
from app.teach.jobs import FINAL, Jobs
from app.teach.worker import NICENESS
from tests.app.teaching import CLASSES, MODEL, finished, photos, processes_of, wait_for, wait_until_free
from tests.conftest import ready_client, sha256


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def client(store):
    with ready_client(MODEL, store=store) as client:
        yield client


@pytest.fixture(scope="module")
def taught(client, photo_folder) -> dict:
    """The job that taught `mine`, done."""
    answer = client.post("/teach", params={"network": "mine"}, files=photos(photo_folder, 8))
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/teach/{answer.json()['job']}"
    return finished(client, answer.json()["job"])


def test_a_job_says_how_good_its_network_is(taught):
    assert (taught["state"], taught["progress"], taught["error"]) == ("done", 1, None)
    assert taught["classes"] == dict.fromkeys(CLASSES, 8)
    metrics = taught["metrics"]
    assert metrics["photos"] == sum(map(sum, metrics["confusion"])) == metrics["accuracy"]["count"]
    assert metrics["accuracy"]["low"] < metrics["accuracy"]["value"] <= metrics["accuracy"]["high"]
    assert list(metrics["recall"]) == list(CLASSES)
    assert metrics["int8"]["refused"] is None
    assert metrics["int8"]["sets"]["cross-validation"]["photos"] == metrics["photos"]
    assert any("prove little" in warning for warning in taught["warnings"])


def test_its_network_answers_like_any_other(taught, client, cat_photo):
    answer = client.post("/predict?network=mine&heatmap=true", files={"file": cat_photo}).json()
    assert list(answer["probabilities"]) == list(CLASSES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["heatmap_class"] in CLASSES
    assert answer["model"]["network"] == "mine"
    row = next(row for row in client.get("/models").json()["networks"] if row["network"] == "mine")
    assert row["taught"]
    assert set(row["precisions"]) == {"float32", "int8"}
    assert not next(row for row in client.get("/models").json()["networks"] if row["network"] == "cat")["taught"]


@pytest.mark.promise("P46")
def test_the_photos_are_gone_when_the_job_has_ended(taught, client, store):
    known = client.get("/teach").json()
    assert known["networks"] == ["mine"]
    assert known["store"]["bytes"] > 1_000_000
    assert taught["job"] in [job["job"] for job in known["jobs"]]
    assert not (store / "jobs" / taught["job"] / "photos").exists()
    assert not list(store.rglob("*.jpg"))


def test_the_same_photos_in_another_order_give_the_same_network(taught, client, photo_folder, store):
    parts = photos(photo_folder, 8)
    again = client.post("/teach?network=again", files=[*reversed(parts[:8]), *reversed(parts[8:])]).json()
    assert finished(client, again["job"])["state"] == "done"
    for file in ("model.onnx", "int8.onnx"):
        models = [(store / "networks" / name / file).read_bytes() for name in (taught["network"], "again")]
        assert sha256(models[0]) == sha256(models[1])
    aside = store / "networks" / ".rolled-back" / "again" / "1.1.0"
    aside.mkdir(parents=True)
    assert client.delete("/models/again").status_code == 204
    assert not aside.exists(), "what was rolled back goes, too"


def test_a_name_may_stand_in_the_form_or_be_left_out(client, photo_folder):
    named = client.post("/teach", data={"network": "of-the-form"}, files=photos(photo_folder)).json()
    unnamed = client.post("/teach", files=photos(photo_folder)).json()
    assert (named["network"], unnamed["network"]) == ("of-the-form", "taught")
    for job in (named, unnamed):
        assert finished(client, job["job"])["state"] == "done"
        assert client.delete(f"/models/{job['network']}").status_code == 204


@pytest.mark.promise("P39", "P40")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cat", "already"),
        ("CAT", "already"),
        ("../cat", "letters, digits"),
        ("", "letters, digits"),
        (".hidden", "letters, digits"),
        ("x" * 61, "letters, digits"),
        ("a b", "letters, digits"),
    ],
)
def test_a_name_that_is_taken_or_no_name_is_refused(client, photo_folder, name, says):
    answer = client.post("/teach", params={"network": name}, files=photos(photo_folder))
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "cannot be a class's name"),
        ("unsure", "cannot be a class's name"),
        ("a\u202eb", "cannot be a class's name"),
        ("x" * 61, "cannot be a class's name"),
        ("A CAT", "have one name"),
    ],
)
def test_a_class_needs_a_name_of_its_own(client, photo_folder, name, says):
    parts = photos(photo_folder, 5)
    more = [(name, file) for _, file in parts[:5]]
    answer = client.post("/teach?network=never", files=[*parts, *more])
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert "never" not in [job["network"] for job in client.get("/teach").json()["jobs"]]


@pytest.mark.promise("P39")
def test_hostile_names_of_classes_and_files_are_only_names(client, photo_folder, store):
    names = ["../../escape", '"><img src=x onerror=alert(1)>']
    parts = [
        (name, (f"../../{path.name}", path.read_bytes()))
        for name, source in zip(names, ("cat", "not_cat"), strict=True)
        for path in sorted((photo_folder / source).iterdir())[:5]
    ]
    job = client.post("/teach?network=hostile", files=parts).json()
    assert finished(client, job["job"])["state"] == "done"
    assert list(job["classes"]) == names
    assert sorted(path.name for path in store.iterdir()) == ["jobs", "networks"]
    assert not (store.parent / "escape").exists()
    assert client.delete("/models/hostile").status_code == 204


@pytest.mark.parametrize(
    ("count", "classes", "says"), [(4, 2, "has 4 photos"), (5, 1, "There are 1 classes"), (5, 21, "At most 20 classes")]
)
def test_too_few_photos_and_too_many_classes_are_refused(client, photo_folder, count, classes, says):
    source = sorted((photo_folder / "cat").iterdir())
    parts = [(f"class {number}", (path.name, path.read_bytes())) for number in range(classes) for path in source[:count]]
    answer = client.post("/teach", files=parts)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_what_is_no_form_or_ends_early_is_refused(client, store):
    assert client.post("/teach", content=b"photo", headers={"Content-Type": "image/png"}).status_code == 422
    head = {"Content-Type": "multipart/form-data; boundary=b"}
    half = b'--b\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\nabc'
    answer = client.post("/teach", content=half, headers=head)
    assert answer.status_code == 422
    assert "middle of a part" in answer.json()["detail"]
    assert not list((store / "jobs").glob("*/photos"))


@pytest.mark.parametrize("header", [b"X: " + b"y" * 5000, b"\r\n".join(b"X%d: y" % n for n in range(2000))])
def test_a_part_has_short_headers(client, header):
    body = b"--b\r\n" + header + b'\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\nabc\r\n--b--\r\n'
    answer = client.post("/teach", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 422
    assert "header" in answer.json()["detail"]


@pytest.mark.promise("P37")
def test_a_job_whose_photos_cannot_be_read_fails_and_says_why(client, cat_photo):
    parts = [(name, (f"{n}.png", cat_photo[: 3000 + n])) for name in ("one", "two") for n in range(5)]
    job = finished(client, client.post("/teach?network=broken", files=parts).json()["job"])
    assert (job["state"], job["metrics"]) == ("failed", None)
    assert "Of class one, 0 photos can be used" in job["error"]


@pytest.mark.promise("P46")
def test_a_job_that_is_cancelled_leaves_no_network(client, photo_folder, store):
    job = client.post("/teach?network=stopped", files=photos(photo_folder, 30)).json()["job"]
    assert client.delete(f"/teach/{job}").json()["state"] == "cancelled"
    assert finished(client, job)["state"] == "cancelled"
    wait_until_free(store / "jobs" / job)
    assert not (store / "networks" / "stopped").exists()
    client.get(f"/teach/{job}")
    assert not (store / "jobs" / job / "photos").exists()
    assert client.delete(f"/teach/{job}").json()["state"] == "cancelled"


@pytest.mark.promise("P37", "P46")
def test_a_job_whose_process_is_killed_has_failed_and_leaves_nothing(client, photo_folder, store):
    job = client.post("/teach?network=killed", files=photos(photo_folder, 30)).json()["job"]
    wait_for(lambda: bool(processes_of(job)))
    for process in processes_of(job):
        os.kill(process, signal.SIGKILL)
    answer = finished(client, job)
    assert answer["state"] == "failed"
    assert "ended before it was done" in answer["error"]
    assert not (store / "networks" / "killed").exists()
    assert not (store / "jobs" / job / "photos").exists()
    retried = client.post("/teach?network=killed", files=photos(photo_folder, 5)).json()
    assert finished(client, retried["job"])["state"] == "done"
    client.delete("/models/killed")


@pytest.mark.promise("P37")
def test_the_process_that_teaches_gives_way_to_the_service(client, photo_folder):
    """Linux shares time among sessions first: in one of its own, it would take half of it."""
    job = client.post("/teach?network=gives-way", files=photos(photo_folder, 30)).json()["job"]
    wait_for(lambda: [os.getpriority(os.PRIO_PROCESS, process) for process in processes_of(job)] == [NICENESS])
    assert [os.getsid(process) for process in processes_of(job)] == [os.getsid(0)]
    client.delete(f"/teach/{job}")
    assert finished(client, job)["state"] == "cancelled"


def test_two_jobs_are_taught_one_after_the_other(client, photo_folder):
    jobs = [client.post(f"/teach?network=of-two-{n}", files=photos(photo_folder, 20)).json()["job"] for n in range(2)]
    running, states = set(), ["waiting"]
    while not set(states) <= set(FINAL):
        states = [client.get(f"/teach/{job}").json()["state"] for job in jobs]
        running.add(states.count("running"))
        time.sleep(0.02)
    assert states == ["done", "done"]
    assert running <= {0, 1}
    for number in range(2):
        assert client.delete(f"/models/of-two-{number}").status_code == 204


@pytest.mark.promise("P36")
def test_photos_that_are_still_arriving_count_as_a_job(tmp_path):
    jobs = Jobs(tmp_path, {})
    jobs.prepare()
    drafts = [jobs.draft() for _ in range(teach_jobs.MOST_UNFINISHED)]
    with pytest.raises(Overloaded, match="being taught or waiting"):
        jobs.draft()
    drafts.pop().discard()
    drafts.append(jobs.draft())
    for draft in drafts:
        draft.discard()
    assert jobs.all() == []


def test_a_reload_keeps_a_network_that_has_not_changed(taught, client):
    service = client.app.state.service
    before = service.networks[taught["network"]]
    assert client.portal.call(service.reload)  # on the loop that the service runs on: its lock belongs to it
    assert service.networks[taught["network"]] is before


@pytest.mark.promise("P36")
def test_a_fifth_unfinished_job_has_to_wait_outside(client, photo_folder):
    parts = photos(photo_folder, 30)
    jobs = [client.post("/teach", files=parts).json()["job"] for _ in range(teach_jobs.MOST_UNFINISHED)]
    answer = client.post("/teach", files=parts)
    for job in jobs:
        client.delete(f"/teach/{job}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "being taught or waiting" in answer.json()["detail"]
    assert {finished(client, job)["state"] for job in jobs} <= {"cancelled", "done"}


@pytest.mark.promise("P40")
def test_networks_that_came_with_catscope_are_not_deleted(client):
    answer = client.delete("/models/cat")
    assert answer.status_code == 404
    assert "not taught here" in answer.json()["detail"]
    assert client.delete("/models/nothing").status_code == 404


@pytest.mark.promise("P39")
@pytest.mark.parametrize("job", ["0", "...", "0193695c4f2a1-5f0c33aa", "%2e%2e%2fnetworks"])
def test_there_are_no_other_jobs(client, job):
    assert client.get(f"/teach/{job}").status_code == 404
    assert client.delete(f"/teach/{job}").status_code == 404


def test_without_a_store_the_setting_is_named(model_dir):
    with ready_client(model_dir) as client:
        for answer in (
            client.get("/teach"),
            client.post("/teach", files=[("x", b"y")]),
            client.get("/teach/1"),
            client.delete("/teach/1"),
            client.delete("/models/tutorial"),
        ):
            assert answer.status_code == 404
            assert "CATSCOPE_STORE" in answer.json()["detail"]


def test_a_store_that_cannot_be_written_is_said_and_the_service_goes_on(model_dir, tmp_path, cat_photo):
    (tmp_path / "file").write_text("no folder")
    with ready_client(model_dir, store=tmp_path / "file") as client:
        answer = client.get("/teach")
        assert answer.status_code == 404
        assert "Not a directory" in answer.json()["detail"] or "File exists" in answer.json()["detail"]
        assert client.post("/predict?network=tutorial", files={"file": cat_photo}).status_code == 200


@pytest.mark.promise("P35")
def test_a_photo_or_a_body_that_is_too_large_is_refused(model_dir, tmp_path, photo_folder):
    shutil.copytree(MODEL / "cat", tmp_path / "model" / "cat")
    with ready_client(tmp_path / "model", store=tmp_path / "store", max_bytes=2000, max_teach_bytes=100_000) as client:
        parts = [("one", ("large.jpg", b"x" * 2001)), ("two", ("y.jpg", b"x"))]
        answer = client.post("/teach", files=parts)
        assert answer.status_code == 413
        assert "large.jpg" in answer.json()["detail"]
        answer = client.post("/teach", files=[("one", (f"{n}.jpg", b"x" * 1999)) for n in range(60)])
        assert answer.status_code == 413
        assert not list((tmp_path / "store" / "jobs").glob("*-*"))


@pytest.mark.promise("P46")
def test_what_an_earlier_service_left_is_cleared_away(model_dir, tmp_path):
    left = tmp_path / "jobs" / "0193695c4f2a1-5f0c33aa"
    (left / "photos").mkdir(parents=True)
    (left / "photos" / "0").write_bytes(b"photo")
    record = {"network": "mine", "classes": {"one": [{"name": "one/x", "file": "0"}]}}
    (left / "job.json").write_text(json.dumps(record))
    half = tmp_path / "jobs" / "0193695c4f2a2-5f0c33aa"
    (half / "photos").mkdir(parents=True)
    Jobs(tmp_path, {}).prepare()
    assert not half.exists()
    assert not (left / "photos").exists()
    assert Jobs(tmp_path, {}).get(left.name).state == "failed"
