"""Killed processes, full disks, forbidden folders, servers that go away, and two writers: nothing half-made, and clear errors."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pytest

from app.corrections.database import Postgresql
from app.corrections.photos import Photos
from app.corrections.records import SHA256
from app.corrections.removal import SETTLED
from app.corrections.store import open_store
from app.errors import NotFound, StoreUnavailable
from app.settings import Settings
from tests.app.corrections.kept import NOON, correction, free_port
from tests.conftest import ROOT, sha256
from tests.faults.clients import wait_until

BEGIN = """
import os, resource, signal, sys
from pathlib import Path
from app.corrections import photos, store as stores
from app.settings import Settings
from tests.app.corrections.kept import correction
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store = stores.open_store(Settings(store=Path(sys.argv[1]), keep="corrections"))
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    opened = open_store(Settings(store=folder, keep="corrections"))
    yield opened
    opened.close()


def files(folder) -> list[str]:
    return sorted(path.name for path in (folder / "photos").rglob("*") if path.is_file())


KILLED = {
    "before the photo is complete": "photos.os.replace = kill",
    "between the photo and its row": "stores._add = kill",
    "before its row takes effect": "stores.json.dumps = kill",
}


@pytest.mark.promise("P42")
@pytest.mark.parametrize("when", KILLED)
def test_a_process_killed_while_it_adds_leaves_no_correction_and_its_remains_are_deleted(store, folder, when):
    kept = store.add(correction(b"other"), b"other")
    assert run(KILLED[when] + "\nstore.add(correction(), b'photo')", folder).returncode == -9
    assert store.list() == [kept]
    remains = [name for name in files(folder) if name != kept.sha256]
    assert len(remains) == 1
    assert SHA256.fullmatch(remains[0]) or when == "before the photo is complete"
    store.expire(NOON)
    assert remains[0] in files(folder), "somebody might still be adding it"
    store.expire(NOON + SETTLED + timedelta(seconds=1))
    assert files(folder) == [kept.sha256]
    assert store.list() == [kept]


@pytest.mark.parametrize("when", KILLED)
def test_what_a_killed_process_wanted_to_keep_can_be_kept_again(store, folder, when):
    run(KILLED[when] + "\nstore.add(correction(), b'photo')", folder)
    again = store.add(correction(time=NOON + timedelta(seconds=1)), b"photo")
    store.expire(NOON + 2 * SETTLED)
    assert store.list() == [again]
    assert store.photo(again.sha256) == b"photo"
    assert files(folder) == [again.sha256]


@pytest.mark.promise("P42")
@pytest.mark.parametrize("when", ["before the photo", "after the photo"])
def test_a_process_killed_while_it_deletes_has_deleted_the_correction_and_the_photo_follows(store, folder, when):
    kept = store.add(correction(), b"photo")
    done = "(delete(sha), kill())" if when == "after the photo" else "kill()"
    code = f"delete = store._photos.delete\nstore._photos.delete = lambda sha: {done}\nstore.delete(sys.argv[2])"
    assert run(code, folder, kept.id).returncode == -9
    assert store.list() == []
    assert len(files(folder)) == (when == "before the photo")
    store.expire(NOON + 2 * SETTLED)
    assert files(folder) == []
    assert store.kept().photos == 0


@pytest.mark.promise("P42")
def test_a_photo_that_cannot_be_written_whole_is_not_there_and_the_correction_neither(store, folder):
    store.add(correction(b"before"), b"before")
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
photo = b"x" * 300_000
try:
    store.add(correction(photo), photo)
except Exception as error:
    print(type(error).__name__, error)
store.add(correction(b"after"), b"after")
"""
    result = run(code, folder)
    assert result.stdout.strip() == "StoreUnavailable Photos cannot be written where they are kept: File too large."
    assert result.returncode == 0, result.stderr
    assert {one.sha256 for one in store.list()} == {sha256(b"before"), sha256(b"after")}
    assert files(folder) == sorted([sha256(b"before"), sha256(b"after")])


def test_a_database_that_cannot_be_written_is_said_and_nothing_is_lost(store, folder):
    kept = store.add(correction(), b"photo")
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
for work in (lambda: store.add(correction(b"more"), b"more"), lambda: store.delete(sys.argv[2]), store.delete_all):
    try:
        work()
    except Exception as error:
        print(type(error).__name__, error)
"""
    lines = run(code, folder, kept.id).stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("StoreUnavailable The database of what is kept cannot be used: ") for line in lines)
    assert store.list() == [kept]
    assert store.photo(kept.sha256) == b"photo"


def test_a_folder_that_forbids_it_is_said(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    code = """
if os.geteuid() == 0:
    os.setuid(65534)
for work in (store.list, lambda: store.add(correction(), b"photo"), store.kept):
    try:
        work()
    except Exception as error:
        print(type(error).__name__, error)
"""
    lines = run(code, tmp_path / "locked" / "store").stdout.splitlines()
    assert lines == ["StoreUnavailable The database of what is kept cannot be used: Permission denied."] * 3


def test_two_processes_write_at_once_and_every_correction_is_kept(store, folder):
    code = """
for n in range(40):
    photo = b"%d" % (n % 10)  # both keep the same photos
    added = store.add(correction(photo, network=f"{sys.argv[2]}-{n}"), photo)
    if n % 2:
        store.delete(added.id)
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", BEGIN + code, folder, name], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    listed = store.list(limit=1000)
    assert {one.network for one in listed} == {f"{name}-{n}" for name in ("first", "second") for n in range(0, 40, 2)}
    assert {store.photo(one.sha256) for one in listed} == {b"%d" % n for n in range(0, 10, 2)}
    assert files(folder) == sorted({one.sha256 for one in listed})


def test_a_damaged_photo_is_not_answered(store, folder):
    kept = store.add(correction(), b"photo")
    (folder / "photos" / kept.sha256[:2] / kept.sha256).write_bytes(b"phot")
    with pytest.raises(NotFound, match="is damaged"):
        store.photo(kept.sha256)


def test_a_file_that_is_no_database_is_said(folder):
    folder.mkdir()
    (folder / "corrections.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailable, match="file is not a database"):
        open_store(Settings(store=folder)).list()


@pytest.mark.promise("P44")
def test_what_is_kept_is_for_the_services_user_alone(store, folder):
    kept = store.add(correction(), b"photo")
    private = [folder, folder / "photos", folder / "photos" / kept.sha256[:2], folder / "corrections.db"]
    private.append(folder / "photos" / kept.sha256[:2] / kept.sha256)
    assert [oct(os.stat(path).st_mode & 0o077) for path in private] == [oct(0)] * len(private)


@pytest.mark.promise("P47")
def test_storage_that_fails_in_its_own_way_is_said(monkeypatch):
    photos = Photos("memory://failing/photos")

    def fail(*_: object) -> None:
        raise RuntimeError("NoSuchBucket at host secret.example")

    monkeypatch.setattr(photos._files, "info", fail)
    with pytest.raises(StoreUnavailable, match="cannot be written where they are kept: RuntimeError") as error:
        photos.write(sha256(b"x"), b"x", "token")
    assert "secret" not in str(error.value)


class TestPostgresql:
    def test_a_server_that_does_not_answer_is_said_without_its_name(self, tmp_path):
        pytest.importorskip("psycopg")
        url = f"postgresql://me:secret@127.0.0.1:{free_port()}/db"
        store = open_store(Settings(store=tmp_path, keep_database=url))
        with pytest.raises(StoreUnavailable) as error:
            store.add(correction(), b"photo")
        assert str(error.value) == "The database of what is kept cannot be used: it does not answer."

    def test_a_server_that_was_restarted_is_used_again(self, tmp_path, server):
        store = open_store(Settings(store=tmp_path, keep_database=server.database()))
        first = store.add(correction(), b"photo")
        server.stop()
        with pytest.raises(StoreUnavailable, match="it does not answer"):
            store.list()
        server.start()
        second = store.add(correction(time=NOON + timedelta(seconds=1), network="dense"), b"photo")
        assert store.list() == [second, first]
        store.close()

    def test_several_replicas_begin_and_write_at_once(self, tmp_path, server):
        url = server.database()
        code = """
store = stores.open_store(Settings(store=Path(sys.argv[1]), keep_database=sys.argv[2]))
for n in range(20):
    added = store.add(correction(b"photo", network=f"{sys.argv[3]}-{n}"), b"photo")
    if n % 2:
        store.delete(added.id)
"""
        writers = [
            subprocess.Popen([sys.executable, "-c", BEGIN + code, tmp_path, url, str(n)], cwd=ROOT, stderr=subprocess.PIPE)
            for n in range(3)
        ]
        for writer in writers:
            _, said = writer.communicate(timeout=120)
            assert writer.returncode == 0, said
        store = open_store(Settings(store=tmp_path, keep_database=url))
        assert store.kept().corrected == 30
        assert store.photo(sha256(b"photo")) == b"photo"
        store.close()

    def test_a_replica_that_finds_no_tables_yet_does_not_wait_for_one_that_waits_for_it(self, tmp_path, server):
        """It began before another had made them, which has them by now, and writes."""
        psycopg = pytest.importorskip("psycopg")
        url = server.database()
        with closing(open_store(Settings(store=tmp_path, keep_database=url))) as first:
            kept = first.add(correction(), b"photo")
        with (
            closing(open_store(Settings(store=tmp_path, keep_database=url))) as late,
            psycopg.connect(url, autocommit=True) as writer,
            psycopg.connect(url, autocommit=True) as watcher,
            ThreadPoolExecutor(1) as thread,
        ):
            writer.execute("DROP TABLE catscope_schema")
            for statement in Postgresql.begin:
                writer.execute(statement)
            listed = thread.submit(late.list)
            waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: watcher.execute(waiting).fetchone() == (1,), "it waits for the writer")
            writer.execute("INSERT INTO catscope_unsettled VALUES ('id', 'sha256')")
            writer.execute("ROLLBACK")
            assert listed.result(60) == [kept]
