"""The keys of a file that changes: when it is looked at, what counts as a change, what the log and an operator are told."""

import logging
import os

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


def test_a_file_of_the_same_size_or_time_is_another_where_the_rest_differs(file, clock, tmp_path):
    file.write_text("one\n")
    os.utime(file, ns=(5, 5))
    keys = ApiKeys(Settings(api_keys_file=file), clock)

    def changed(sent: str) -> bool:
        clock.now += CHECK_S
        return keys.accepts(sent)

    file.write_text("two\n")
    os.utime(file, ns=(6, 6))
    assert changed("two"), "another time"
    file.write_text("three\n")
    os.utime(file, ns=(6, 6))
    assert changed("three"), "another size"
    other = tmp_path / "other"
    other.write_text("seven\n")
    os.utime(other, ns=(6, 6))
    other.rename(file)
    assert changed("seven"), "another file"


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
