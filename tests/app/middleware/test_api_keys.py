"""The keys of a file that changes: when it is looked at, what counts as a change, what the log and an operator are told."""

import errno
import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.middleware.api_keys import CHECK_S, ApiKeys
from app.settings import Settings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "keys"
    path.write_text("alpha\n  beta gamma\t\n\n   \n # delta\n#epsilon\n")
    return path


def read(keys: ApiKeys, *sent: str) -> list[bool]:
    return [keys.accepts(key) for key in sent]


def test_each_line_is_a_key_without_the_space_around_it(file, clock):
    keys = ApiKeys(Settings(api_keys_file=file, api_keys=("zeta", "ключ")), clock)
    assert read(keys, "alpha", "beta gamma", "zeta", "ключ") == [True] * 4
    assert read(keys, "", " ", "delta", "# delta", "#epsilon", "beta", "alpha\n", "ALPHA") == [False] * 8


def test_everybody_is_admitted_where_no_keys_are_configured(file):
    assert [bool(ApiKeys(Settings(**options))) for options in ({}, {"api_keys": ("a",)}, {"api_keys_file": file})] == [
        False,
        True,
        True,
    ]
    assert not ApiKeys(Settings(api_keys=("a",))).accepts("b")


def test_the_file_is_looked_at_once_a_second_and_a_change_is_logged(file, clock, caplog):
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    file.write_text("new\nnewer\n")
    with caplog.at_level(logging.INFO, "catscope"):
        clock.now += CHECK_S - 0.01
        assert read(keys, "new", "alpha") == [False, True]
        clock.now += 0.01
        assert read(keys, "new", "alpha") == [True, False]
        assert [record.getMessage() for record in caplog.records] == [f"read 2 API keys from {file}"]
        file.write_text("third\n")
        clock.now += CHECK_S / 2
        assert read(keys, "third") == [False], "the second is counted from the last look"
        clock.now += CHECK_S / 2
        assert read(keys, "third") == [True]
        clock.now += CHECK_S
        assert read(keys, "third") == [True]
    assert len(caplog.records) == 2, "it is read only where it has changed"


@pytest.mark.parametrize("differs", ["st_ino", "st_mtime_ns", "st_ctime_ns", "st_size"])
def test_a_file_is_another_where_one_thing_about_it_differs(file, clock, monkeypatch, differs):
    status = SimpleNamespace(st_ino=1, st_mtime_ns=2, st_ctime_ns=3, st_size=4)
    monkeypatch.setattr("pathlib.Path.stat", lambda path, **_: status)
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    file.write_text("new\n")
    clock.now += CHECK_S
    assert read(keys, "new", "alpha") == [False, True]
    setattr(status, differs, 9)
    clock.now += CHECK_S
    assert read(keys, "new", "alpha") == [True, False]


@pytest.mark.skipif(os.name != "posix", reason="other systems keep no time of a change of rights")
def test_a_file_that_may_be_read_later_than_it_came_is_read_then(file, clock, caplog, monkeypatch, tmp_path):
    """As where an operator moves a file of their own into place, and gives it to the service afterwards."""
    keys = ApiKeys(Settings(api_keys_file=file), clock)

    def denied(path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    other = tmp_path / "other"
    other.write_text("new\n")
    other.chmod(0o600)
    other.replace(file)
    came = file.stat().st_ctime_ns
    with monkeypatch.context() as unreadable:  # root may read every file
        unreadable.setattr("pathlib.Path.read_text", denied)
        clock.now += CHECK_S
        assert read(keys, "new", "alpha") == [False, True]
    assert "Permission denied" in caplog.text
    while file.stat().st_ctime_ns == came:  # a file system's clock may tick no more than a hundred times a second
        file.chmod(0o644)
    clock.now += CHECK_S
    assert read(keys, "new", "alpha") == [True, False]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.write_text("# none\n"), r"CATSCOPE_API_KEYS_FILE \S+ contains no key"),
        (lambda file: file.write_bytes(b"\xff\n"), r"CATSCOPE_API_KEYS_FILE \S+ cannot be read: 'utf-8' codec"),
        (lambda file: file.unlink(), r"CATSCOPE_API_KEYS_FILE \S+ cannot be read: .*No such file"),
    ],
    ids=["empty", "no text", "gone"],
)
def test_a_file_without_a_key_is_refused_at_the_start_and_changes_nothing_later(file, clock, caplog, spoil, says):
    keys = ApiKeys(Settings(api_keys_file=file), clock)
    spoil(file)
    with pytest.raises(ValueError, match=f"^{says}"):
        ApiKeys(Settings(api_keys_file=file))
    with caplog.at_level(logging.ERROR, "catscope"):
        for _ in range(3):
            clock.now += CHECK_S
            assert read(keys, "alpha", "") == [True, False]
    [record] = caplog.records
    assert record.getMessage().startswith(f"CATSCOPE_API_KEYS_FILE {file} c")
    assert record.getMessage().endswith("; keeping the previous keys")
