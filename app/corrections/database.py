"""Corrections come in and go out by SQL: from a SQLite file, or from PostgreSQL where several replicas share them.

Both get the same statements. One process writes at a time: SQLite locks the file, and in PostgreSQL each transaction that
writes locks the table of corrections first. So whoever deletes a photo inside such a transaction knows that nobody has begun
to keep it again.
"""

import contextlib
import os
import queue
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from app.errors import StoreUnavailable

VERSION = 1
"""Of the tables below; a database of a later one is refused."""

COUNTING = "catscope_corrections WHERE counts = 1"
"""The corrections that count: of each photo and network, the latest."""

_FILTERS = ("", "kind, ", "network, ", "kind, network, ")
"""What is listed is filtered by these; an index for each, so that a page is read and nothing else."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS catscope_schema (version INTEGER PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS catscope_corrections (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, sha256 TEXT NOT NULL, label TEXT, network TEXT NOT NULL,
        version TEXT NOT NULL, verdict TEXT NOT NULL, probabilities TEXT NOT NULL, source TEXT NOT NULL,
        time BIGINT NOT NULL, counts INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS catscope_photos (sha256 TEXT PRIMARY KEY, bytes BIGINT NOT NULL)",
    # Photos of corrections that are being added or deleted: by these, what a killed process leaves behind is found.
    "CREATE TABLE IF NOT EXISTS catscope_unsettled (id TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS catscope_of_photo ON catscope_corrections (sha256, network, id)",
    *(
        f"CREATE INDEX IF NOT EXISTS catscope_by_{columns.replace(', ', '_')}id ON catscope_corrections ({columns}id) "
        "WHERE counts = 1"
        for columns in _FILTERS
    ),
    # An index locks its table, also where it is there already: that of corrections first, as whoever writes does.
    "CREATE INDEX IF NOT EXISTS catscope_unsettled_sha256 ON catscope_unsettled (sha256)",
    f"INSERT INTO catscope_schema VALUES ({VERSION}) ON CONFLICT DO NOTHING",
)

MAX_IDLE = 4
"""Connections that are kept open for later."""

BUSY_S = 5
"""How long a transaction waits for others, in seconds; then it is given up."""


class Connection(Protocol):
    """What both drivers' connections can do."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Any:
        """Run one statement; the result's `fetchall` has its rows."""

    def close(self) -> None:
        """Give it back."""


class Rows:
    """Runs statements, whose values are marked by `?`, in one transaction."""

    def __init__(self, connection: Connection, mark: str) -> None:
        self._connection, self._mark = connection, mark

    def run(self, statement: str, *values: Any) -> None:
        """A statement without a result."""
        self._connection.execute(statement.replace("?", self._mark), values)

    def all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows that a statement selects."""
        rows: list[tuple[Any, ...]] = self._connection.execute(statement.replace("?", self._mark), values).fetchall()
        return rows


class Database:
    """Transactions of a SQLite file or of PostgreSQL. May be used by several threads.

    Everything raises StoreUnavailable where the database cannot be reached, read or written.
    """

    mark = "?"
    begin: tuple[str, ...] = ()
    """Begins a transaction that writes, alone."""
    begin_schema: tuple[str, ...] = ()
    """Begins the one that makes the tables."""
    errors: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue(MAX_IDLE)
        self._has_tables = False

    def connect(self) -> Connection:
        """Open a connection, on which each statement is a transaction of its own unless one was begun."""
        raise NotImplementedError

    def reason(self, error: Exception) -> str:
        """Why it cannot be used, without names of hosts, users or folders."""
        raise NotImplementedError

    @contextlib.contextmanager
    def reading(self) -> Iterator[Rows]:
        """Statements that only select, each seeing what is there when it runs."""
        with self._connection() as connection:
            yield Rows(connection, self.mark)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Rows]:
        """Statements that take effect together, at the end, or not at all; nobody else writes meanwhile."""
        with self._connection() as connection, _transaction(connection, self.begin):
            yield Rows(connection, self.mark)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = None
        try:
            connection = self._living() or self.connect()
            if not self._has_tables:
                self._make_tables(connection)
            yield connection
        except self.errors as error:
            if connection:
                _close(connection)
            raise StoreUnavailable(f"The database of what is kept cannot be used: {self.reason(error)}.") from error
        except BaseException:
            if connection:
                _close(connection)
            raise
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            _close(connection)

    def _living(self) -> Connection | None:
        """An idle connection that still works, or None."""
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            try:
                connection.execute("SELECT 1").fetchall()
                return connection
            except self.errors:  # the server was restarted
                _close(connection)

    def _make_tables(self, connection: Connection) -> None:
        """Make the tables, unless they are there: a full disk can still be read.

        Raises StoreUnavailable for those of a later Catscope.
        """
        which = "SELECT MAX(version) FROM catscope_schema"
        try:
            [(version,)] = connection.execute(which).fetchall()
        except self.errors:  # there is no such table yet
            with _transaction(connection, self.begin_schema):
                for statement in SCHEMA:
                    connection.execute(statement)
                [(version,)] = connection.execute(which).fetchall()
        if version > VERSION:
            raise StoreUnavailable(f"The database has tables of version {version}; this Catscope knows {VERSION}.")
        self._has_tables = True


class Sqlite(Database):
    """A file of this machine, shared by its processes: a log of writes ahead of it lets others read meanwhile."""

    begin = begin_schema = ("BEGIN IMMEDIATE",)
    errors = (sqlite3.Error, OSError)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def connect(self) -> Connection:
        """See Database.connect."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA secure_delete = ON").fetchall()  # what is deleted is overwritten
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def reason(self, error: Exception) -> str:
        """See Database.reason."""
        return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


class Postgresql(Database):
    """A server, by psycopg 3, which is imported only here."""

    mark = "%s"
    begin = ("BEGIN", "LOCK TABLE catscope_corrections IN SHARE ROW EXCLUSIVE MODE")
    begin_schema = ("BEGIN", "SELECT pg_advisory_xact_lock(4206191128)")
    """Two processes that make one table at once would fail; the number only has to be the same for both."""

    def __init__(self, url: str) -> None:
        """Raises ValueError where psycopg is not installed, or the URL is not one."""
        super().__init__()
        try:
            import psycopg
            from psycopg.conninfo import make_conninfo
        except ImportError as error:
            raise ValueError(
                "CATSCOPE_KEEP_DATABASE names PostgreSQL, which needs a package: pip install -r requirements/postgresql.txt"
            ) from error
        try:
            self._address = make_conninfo(
                url,
                client_encoding="UTF8",  # psycopg answers a database of encoding SQL_ASCII with bytes instead of text
                connect_timeout=BUSY_S,  # in seconds
                tcp_user_timeout=BUSY_S * 2000,  # in ms
            )
        except psycopg.ProgrammingError as error:
            raise ValueError(f"CATSCOPE_KEEP_DATABASE is no address of PostgreSQL: {str(error).strip()}") from error
        self._psycopg = psycopg
        self.errors = (psycopg.Error,)

    def connect(self) -> Connection:
        """See Database.connect."""
        connection: Connection = self._psycopg.connect(self._address, autocommit=True)
        connection.execute(f"SET lock_timeout = {BUSY_S * 1000}")
        connection.execute(f"SET statement_timeout = {BUSY_S * 2000}")
        return connection

    def reason(self, error: Exception) -> str:
        """See Database.reason."""
        state = getattr(error, "sqlstate", None)
        if state is None:
            return "it does not answer"
        return f"{type(error).__name__}, SQLSTATE {state}"


def database(path: Path, url: str) -> Database:
    """The database at a URL of PostgreSQL, or the SQLite file at `path` where the URL is empty.

    Raises ValueError for any other URL.
    """
    if not url:
        return Sqlite(path)
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"CATSCOPE_KEEP_DATABASE is {url.split('://')[0]!r}; it must be an address like postgresql://...")
    return Postgresql(url)


@contextlib.contextmanager
def _transaction(connection: Connection, begin: tuple[str, ...]) -> Iterator[None]:
    first, *more = begin
    connection.execute(first)
    try:
        for statement in more:
            connection.execute(statement)
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # a broken connection, which whoever gets the first error closes
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _close(connection: Connection) -> None:
    with contextlib.suppress(Exception):  # it is broken
        connection.close()
