"""What a cage tells its processes and gives them, which of them decodes a photo, and what becomes of them.

light_child.py is in the place of the decoder: it begins quickly, and says what it was given.
"""

import fcntl
import gc
import json
import os
import sys
import threading
import weakref

import pytest

from app.errors import BrokenImage, Overloaded, TooLarge
from app.inference.cage import cage as cages
from tests.app.inference.cage.light_child import COLOURS, DONE, PHOTO, PIXELS, open_files, order
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")


def told(cage, max_pixels: int = PIXELS, side: int | None = None) -> dict[str, object]:
    """What a process says that it was given."""
    with pytest.raises(BrokenImage) as refused:
        cage.decode(order("tell"), max_pixels, side)
    return json.loads(str(refused.value))


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def settled(cage) -> None:
    """What begins another process has ended."""
    cage._nursery.submit(int).result()


def test_a_decoded_photo_is_what_the_process_made_of_it(made):
    photo = made().decode(PHOTO, PIXELS, None)
    assert (photo.width, photo.height, photo.format, photo.animated) == (20, 10, "TIFF", False)
    assert (photo.image.mode, photo.image.size, list(photo.image.tobytes())) == ("RGB", (2, 1), COLOURS)


def test_a_refusal_is_that_of_the_process_which_goes_on(made):
    cage = made()
    refused = order("answer", colours=[], answer={"refused": "TooLarge", "detail": "It is too large."})
    with pytest.raises(TooLarge, match=r"^It is too large\.$"):
        cage.decode(refused, PIXELS, None)
    (process,) = cage._idle
    assert told(cage)["pid"] == process.pid
    assert cage.lost == []


@pytest.mark.parametrize(("max_pixels", "side", "size"), [(1000, None, 3000), (1000, 224, 3000), (4, None, 14)])
def test_a_process_gets_its_task_and_memory_for_the_photo_and_its_pixels(made, max_pixels, side, size):
    facts = told(made(), max_pixels, side)
    assert facts["task"] == {"size": len(order("tell")), "max_pixels": max_pixels, "side": side}
    assert facts["size"] == facts["size_of_file"] == size
    assert facts["budget"] == 256 * 1024 * 1024 + 24 * max_pixels


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """In another folder, with a file that is open and something to read from the standard input."""
    monkeypatch.chdir(tmp_path)
    opened, before = os.open(os.devnull, os.O_RDONLY), os.dup(0)
    given, unread = os.pipe()
    os.dup2(given, 0)
    yield
    os.dup2(before, 0)
    for number in (opened, before, given, unread):
        os.close(number)


def test_a_process_gets_nothing_else(made, elsewhere):
    facts = told(made())
    assert facts["files"] == [0, 1, 2]
    assert facts["streams"] == [os.devnull] * 3
    assert (facts["given"], facts["cwd"]) == ("this", str(ROOT))


@pytest.mark.promise("P68")
def test_a_process_cannot_change_the_size_of_the_memory_that_is_shared(made):
    assert told(made())["seals"] == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def test_this_process_keeps_two_files_for_each_and_none_for_those_that_ended(made):
    cage = made()
    gc.collect()
    before = set(open_files())
    told(cage)
    kept = set(open_files()) - before
    assert len(kept) == 2, "the socket, and that of the memory"
    assert not any(map(os.get_inheritable, kept))
    cage.close()
    assert set(open_files()) <= before


def test_the_memory_of_a_photo_is_given_back(made):
    cage = made()
    cage.decode(PHOTO, PIXELS, None)
    (process,) = cage._idle
    assert process._memory[: len(PHOTO)] == bytes(len(PHOTO))


@pytest.mark.parametrize(
    ("photo", "reason"),
    [
        (order("crash"), "crashed"),
        (order("sleep"), "took longer than 0.5 s"),
        (order("answer", colours=[], answer={"done": DONE | {"format": "EXE"}}), "made no sense (a photo in the format 'EXE')"),
        (order("answer", colours=[], answer={}), "made no sense ('done')"),
        (order("answer", colours=[], answer={"done": DONE | {"pixels": [3, 1]}}), "made no sense (a photo of 3 x 1 pixels)"),
    ],
)  # fmt: skip
def test_a_process_that_gives_no_photo_is_replaced_before_the_next(made, caplog, photo, reason):
    cage = made()
    small = 2
    before = told(cage, small)["pid"]
    cage.seconds = 0.5 if b"sleep" in photo else 30
    with pytest.raises(BrokenImage) as refused:
        cage.decode(photo, small, None)
    assert str(refused.value) == f"The photo cannot be decoded: its decoder {reason}."
    assert caplog.messages == [f"a decoder was replaced: it {reason} on a photo of {len(photo)} bytes"]
    assert not lives(before)
    assert cage.lost == [None]
    settled(cage)
    cage.seconds = 30
    (process,) = cage._idle
    assert told(cage, small)["pid"] == process.pid != before


def test_a_process_that_says_what_it_keeps_is_used_and_the_operator_told(made, caplog):
    assert made("it may open files").decode(PHOTO, PIXELS, None).format == "TIFF"
    assert caplog.messages == ["photos are decoded in a process of their own that keeps some rights: it may open files"]


@pytest.mark.parametrize(("begin", "reason"), [("never", "took longer than 0.2 s"), ("", "crashed")])
def test_a_process_that_does_not_begin_is_ended_and_the_operator_told(made, caplog, monkeypatch, begin, reason):
    monkeypatch.setattr(cages, "BEGINNING_S", 0.2 if begin else 30)
    begun = []
    start = cages.subprocess.Popen
    monkeypatch.setattr(cages.subprocess, "Popen", lambda *a, **more: begun.append(start(*a, **more)) or begun[0])
    with pytest.raises(Overloaded, match=r"^No process can be started for decoding this photo; retry shortly\.$"):
        made(begin).decode(PHOTO, PIXELS, None)
    assert caplog.messages == [f"no process can be started for decoding: {reason}"]
    assert not lives(begun[0].pid)


def taken(cage, *sizes: int) -> list:
    """As many processes at once, for photos of so many pixels."""
    return [cage._take(max_pixels, len(PHOTO)) for max_pixels in sizes]


def test_of_two_that_fit_the_one_that_was_used_last_decodes_and_the_other_waits(made):
    cage = made()
    first, second = taken(cage, PIXELS, PIXELS)
    cage._give_back(first)
    cage._give_back(second)
    for _ in range(2):
        assert told(cage)["pid"] == second.pid
    (process,) = taken(cage, PIXELS)
    assert process is second
    assert cage._idle == [first]
    cage._give_back(second)


def test_those_that_are_meant_for_other_photos_are_kept_while_one_fits_and_end_when_none_does(made):
    cage = made()
    small, large = taken(cage, 1000, 2000)
    cage._give_back(small)
    cage._give_back(large)
    assert told(cage, 1000)["pid"] == small.pid
    assert lives(large.pid)
    other = told(cage, 1500)["pid"]
    assert other not in (small.pid, large.pid)
    assert not lives(small.pid)
    assert not lives(large.pid)
    assert [process.pid for process in cage._idle] == [other]


def test_a_process_decodes_photos_that_are_as_large_as_its_memory_and_no_larger(made):
    cage = made()
    (process,) = taken(cage, 1000)
    assert process.fits(1000, 3000)
    assert not process.fits(1000, 3001)
    assert not process.fits(999, 3000)
    assert not process.fits(1001, 3000)
    process.end()
    assert not process.fits(1000, 3000)


def test_a_cage_that_is_closed_ends_its_processes_and_begins_none(made, caplog):
    cage = made()
    idle, decoding = taken(cage, PIXELS, PIXELS)
    cage._give_back(idle)
    cage.close()
    assert not lives(idle.pid)
    assert lives(decoding.pid)
    cage._give_back(decoding)
    assert not lives(decoding.pid)
    with pytest.raises(Overloaded, match="No process can be started"):
        cage.decode(PHOTO, PIXELS, None)
    assert caplog.messages == ["no process can be started for decoding: cannot schedule new futures after shutdown"]


def test_closing_waits_for_no_process_that_begins(made):
    cage = made()
    begun, go_on = threading.Event(), threading.Event()
    beginning = cage._nursery.submit(lambda: begun.set() or go_on.wait(30))
    later = cage._nursery.submit(int)
    begun.wait(30)
    try:
        cage.close()
        assert not beginning.done()
        assert later.cancelled()
    finally:
        go_on.set()


def test_processes_begin_on_one_thread_which_lives_as_long_as_they_do(made):
    cage = made()
    go_on = threading.Event()
    waiting = [cage._nursery.submit(go_on.wait, 30) for _ in range(2)]
    names = [thread.name for thread in threading.enumerate() if thread in cage._nursery._threads]
    go_on.set()
    for one in waiting:
        one.result()
    assert names == ["catscope-cage_0"]


def test_a_cage_that_is_closed_is_forgotten():
    cage = cages.Cage(30, {})
    cage.close()
    known = weakref.ref(cage)
    del cage
    gc.collect()
    assert known() is None


def test_threads_are_not_given_the_same_process(made):
    cage = made()
    pids: list[object] = []
    threads = [threading.Thread(target=lambda: pids.append(cage._take(PIXELS, 1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({process.pid for process in pids}) == 3
    for process in pids:
        cage._give_back(process)
    assert len(cage._idle) == 3
