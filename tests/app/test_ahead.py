"""Work on several threads: the order of what comes out, how far ahead it is, and how it ends."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.ahead import AHEAD, in_order


def test_results_come_in_the_order_of_their_items_though_a_later_one_is_ready_first():
    second_is_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(60)
        if number == 1:
            second_is_done.set()
        return number * number

    assert list(in_order(work, range(100), threads=2)) == [number * number for number in range(100)]


def test_only_a_few_items_are_begun_ahead_of_their_turn_and_none_when_nobody_asks_for_more():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    done = in_order(str, items(), threads=2)
    assert [next(done) for _ in range(3)] == ["0", "1", "2"]
    assert len(taken) == 3 + 2 * AHEAD
    done.close()
    assert len(taken) == 3 + 2 * AHEAD


def test_closing_it_waits_for_what_is_under_way_and_drops_what_is_not():
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def work(number: int) -> int:
        if number:
            begun.set()
            assert go_on.wait(60)
            ended.append(number)
        return number

    done = in_order(work, range(1000), threads=1)
    assert next(done) == 0
    assert begun.wait(60)
    threading.Timer(0.05, go_on.set).start()
    done.close()
    assert 1 in ended, "it was under way"
    assert len(ended) < 10


def test_no_more_threads_work_than_are_asked_for():
    names = set()
    assert len(list(in_order(lambda _: names.add(threading.current_thread().name), range(100), threads=2))) == 100
    assert len(names) <= 2


def test_work_that_fails_is_told_where_its_turn_comes():
    done = in_order(lambda number: 1 / number, [1, 2, 0, 4], threads=2)
    assert (next(done), next(done)) == (1.0, 0.5)
    with pytest.raises(ZeroDivisionError):
        next(done)


def test_without_items_nothing_comes():
    assert list(in_order(str, [], threads=2)) == []


def test_threads_that_cannot_be_started_are_an_error_with_a_way_out(monkeypatch):
    def submit(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    with pytest.raises(ValueError, match=r"^99999 threads cannot be started; --threads N takes fewer$"):
        list(in_order(str, range(3), threads=99999))
