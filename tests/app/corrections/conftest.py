"""Stores of each kind: SQLite and a folder, SQLite and fsspec's memory, a real PostgreSQL and a folder."""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.corrections.store import Store, open_store
from app.settings import Settings
from tests.app.corrections.kept import free_port

_numbers = itertools.count()


class Server:
    """A PostgreSQL server of its own, in a temporary folder."""

    def __init__(self, programs: Path, folder: Path, user: list[str]) -> None:
        self._programs, self._folder, self._user = programs, folder, user
        self.port = free_port()
        self._run("initdb", "-D", str(folder / "data"), "-U", "catscope", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=120)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._folder / "data"), "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._folder / "data"))

    def database(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"store{next(_numbers)}"
        with psycopg.connect(f"postgresql://catscope@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://catscope@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = str(found[-1]) if found else shutil.which("initdb")
    if program is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    folder, user = Path(tempfile.mkdtemp(prefix="catscope-postgresql-")), []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres for PostgreSQL to run as")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = ["runuser", "-u", "postgres", "--"]
    running = Server(Path(program).parent, folder, user)
    yield running
    with contextlib.suppress(subprocess.CalledProcessError):
        running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def settings(request, tmp_path) -> Settings:
    if request.param == "memory":
        return Settings(store=tmp_path / "store", keep="unsure", keep_photos=f"memory://kept{next(_numbers)}/photos")
    if request.param == "postgresql":
        url = request.getfixturevalue("server").database()
        return Settings(store=tmp_path / "store", keep="unsure", keep_database=url)
    return Settings(store=tmp_path / "store", keep="unsure")


@pytest.fixture
def store(settings) -> Iterator[Store]:
    opened = open_store(settings)
    yield opened
    opened.close()
