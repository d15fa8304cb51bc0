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
from tests.app.inference.cage.light_child import PHOTO, PIXELS, order

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")


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
def test_a_process_that_cannot_be_had_is_a_refusal_and_leaves_nothing(made, monkeypatch, place, name, number):
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    cage._idle.pop().end()
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(place, name, failing(OSError(number, os.strerror(number))))
        with pytest.raises(Overloaded) as refused:
            cage.decode(PHOTO, PIXELS, None)
    assert str(refused.value) == "No process can be started for decoding this photo; retry shortly."
    assert open_files() <= before
    assert cage.decode(PHOTO, PIXELS, None).format == "TIFF", "and it is tried again"


def test_where_a_process_cannot_be_replaced_the_next_photo_tries_it_again(made, monkeypatch, caplog):
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", failing(OSError(errno.EMFILE, "Too many open files")))
        with pytest.raises(BrokenImage, match=r"its decoder crashed\.$"):
            cage.decode(order("crash"), PIXELS, None)
        cage._nursery.submit(int).result()  # it is behind what begins the other process
        assert caplog.messages[-1] == "no process can be started for decoding: [Errno 24] Too many open files"
    assert cage.decode(PHOTO, PIXELS, None).format == "TIFF"


def test_a_process_that_is_killed_between_two_photos_costs_none(made):
    """As the kernel does where memory runs out: it takes these first."""
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    pid = cage._idle[0].pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert cage.decode(PHOTO, PIXELS, None).format == "TIFF"
    assert [process.pid for process in cage._idle] != [pid]


def test_a_socket_that_breaks_costs_one_photo(made):
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    (process,) = cage._idle
    os.kill(process.pid, signal.SIGSTOP)  # or it might end by itself, and not be asked
    process._talk.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenImage, match=r"its decoder crashed\.$"):
        cage.decode(PHOTO, PIXELS, None)
    assert cage.decode(PHOTO, PIXELS, None).format == "TIFF"


def test_a_process_that_ends_before_it_reads_its_photo_costs_that_one(made):
    with pytest.raises(BrokenImage, match=r"its decoder crashed\.$"):
        made("deaf").decode(PHOTO, PIXELS, None)


def test_a_cage_that_is_closed_begins_no_process_in_the_place_of_a_lost_one(made):
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    process = cage._take(PIXELS, len(PHOTO))
    cage.close()
    cage._replace(process)
    assert cage._idle == []


def test_signals_that_interrupt_calls_cost_nothing(made):
    """A system call that a signal interrupts ends with EINTR."""
    cage, signals = made(), []
    before = signal.signal(signal.SIGALRM, lambda *_: signals.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while len(signals) < 100:
            assert cage.decode(PHOTO, PIXELS, None).format == "TIFF"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert cage.lost == []
