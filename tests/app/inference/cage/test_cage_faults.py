"""What the system refuses a cage, and what becomes of a process between two photos, cost a photo at most."""

import errno
import fcntl
import gc
import mmap
import os
import signal
import socket
import subprocess
import sys

import pytest

from app.errors import BrokenImage, Overloaded
from app.settings import bare
from tests.app.inference.cage.test_cage import BAD, PIXELS, trouble
from tests.conftest import encoded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")


@pytest.fixture(scope="module")
def photo(cat_image) -> bytes:
    return encoded(cat_image, "TIFF")


@pytest.fixture
def made():
    """Makes cages and closes them; `child` is how bad_child.py begins."""
    from app.inference.cage.cage import Cage

    cages = []

    def make(child: str = "") -> Cage:
        lost: list[None] = []
        cages.append(Cage(30, bare() | {"CHILD": child}, BAD, lambda: lost.append(None)))
        cages[-1].lost = lost
        return cages[-1]

    yield make
    for cage in cages:
        cage.close()
        cage._nursery.shutdown()


def failing(error: OSError):
    def call(*_: object, **__: object) -> object:
        raise error

    return call


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(
    ("place", "name", "number"),
    [
        (os, "memfd_create", errno.EMFILE),
        (socket, "socketpair", errno.ENFILE),
        (os, "ftruncate", errno.ENOSPC),
        (fcntl, "fcntl", errno.EPERM),
        (mmap, "mmap", errno.ENOMEM),
        (subprocess, "Popen", errno.EAGAIN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_process_that_cannot_be_had_is_a_refusal_and_leaves_nothing(made, photo, monkeypatch, place, name, number):
    cage = made()
    cage.decode(photo, PIXELS, None)
    cage._idle.pop().end()
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, failing(OSError(number, os.strerror(number))))
        with pytest.raises(Overloaded, match="No process can be started"):
            cage.decode(photo, PIXELS, None)
    assert open_files() <= before
    assert cage.decode(photo, PIXELS, None).format == "TIFF", "and it is tried again"


def test_where_a_process_cannot_be_replaced_the_next_photo_tries_it_again(made, photo, monkeypatch, caplog):
    cage = made()
    cage.decode(photo, PIXELS, None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", failing(OSError(errno.EMFILE, "Too many open files")))
        with pytest.raises(BrokenImage, match="crashed"):
            cage.decode(trouble("crash"), PIXELS, None)
        cage._nursery.submit(int).result()  # it is behind what begins the other process
        assert "no process can be started for decoding: [Errno 24] Too many open files" in caplog.text
    assert cage.decode(photo, PIXELS, None).format == "TIFF"


def test_a_process_that_is_killed_between_two_photos_costs_none(made, photo):
    """As the kernel does where memory runs out: it takes these first."""
    cage = made()
    cage.decode(photo, PIXELS, None)
    pid = cage._idle[0].pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert cage.decode(photo, PIXELS, None).format == "TIFF"
    assert [process.pid for process in cage._idle] != [pid]


def test_a_socket_that_breaks_costs_one_photo(made, photo):
    cage = made()
    cage.decode(photo, PIXELS, None)
    cage._idle[0]._talk.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenImage, match="crashed"):
        cage.decode(photo, PIXELS, None)
    assert cage.decode(photo, PIXELS, None).format == "TIFF"


def test_a_process_that_ends_before_it_reads_its_photo_costs_that_one(made, photo):
    with pytest.raises(BrokenImage, match="crashed"):
        made("deaf").decode(photo, PIXELS, None)


def test_a_process_that_keeps_some_rights_says_so_and_decodes(made, photo, caplog):
    assert made("unfiltered").decode(photo, PIXELS, None).format == "TIFF"
    assert "keeps some rights: system calls are not filtered" in caplog.text


def test_a_cage_that_is_closed_begins_no_process_in_the_place_of_a_lost_one(made, photo):
    cage = made()
    cage.decode(photo, PIXELS, None)
    process = cage._take(PIXELS, len(photo))
    cage.close()
    cage._replace(process)
    assert cage._idle == []


def test_signals_that_interrupt_calls_cost_nothing(made, photo):
    """A system call that a signal interrupts ends with EINTR."""
    cage, signals = made(), []
    before = signal.signal(signal.SIGALRM, lambda *_: signals.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while len(signals) < 100:
            assert cage.decode(photo, PIXELS, None).format == "TIFF"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert cage.lost == []
