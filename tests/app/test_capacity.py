import asyncio
import functools
import gc
import threading
import weakref

import pytest

from app.capacity import Workers, client_left, cores
from app.errors import ClientLeft, DeadlineExceeded, Overloaded, RateLimited
from app.middleware.rate_limit import RateLimiter


def test_work_runs_in_another_thread_and_returns_its_result():
    async def main() -> tuple[int, int]:
        return await Workers(1, 0, 5).run(threading.get_ident), threading.get_ident()

    worker, loop = asyncio.run(main())
    assert worker != loop


def test_an_error_of_the_work_is_raised_in_the_caller():
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        asyncio.run(Workers(1, 0, 5).run(fail))


@pytest.mark.promise("P13")
def test_as_many_calls_as_threads_and_waiting_slots_are_accepted_and_no_more():
    async def main() -> None:
        free = threading.Event()
        workers = Workers(threads=2, max_waiting=3, deadline_s=5)
        accepted = [asyncio.create_task(workers.run(free.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="5 requests"):
            await workers.run(free.wait)
        free.set()
        assert await asyncio.gather(*accepted) == [True] * 5
        assert await workers.run(lambda: "again") == "again"

    asyncio.run(main())


@pytest.mark.promise("P10")
def test_a_call_that_waited_too_long_is_never_started():
    async def main() -> list[str]:
        free, finished = threading.Event(), []
        workers = Workers(threads=1, max_waiting=5, deadline_s=0.05)
        running = asyncio.create_task(workers.run(lambda: free.wait(5)))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await workers.run(lambda: finished.append("late"))
        with pytest.raises(DeadlineExceeded):
            await running
        free.set()
        await asyncio.to_thread(workers._pool.shutdown)  # when all that is still in its queue is done
        return finished

    assert asyncio.run(main()) == []


def test_a_slot_stays_taken_until_the_thread_is_really_free():
    async def main() -> None:
        free = threading.Event()
        workers = Workers(threads=1, max_waiting=0, deadline_s=0.05)
        with pytest.raises(DeadlineExceeded):
            await workers.run(lambda: free.wait(5))
        with pytest.raises(Overloaded):
            await workers.run(lambda: None)
        free.set()
        workers.close()

    asyncio.run(main())


def test_a_timeout_of_the_work_itself_is_not_taken_for_the_deadline():
    def fail() -> None:
        raise TimeoutError("of a disk")

    with pytest.raises(TimeoutError, match="of a disk"):
        asyncio.run(Workers(1, 0, 5).run(fail))


@pytest.mark.promise("P10")
def test_work_that_nobody_waits_for_any_more_is_never_started_and_gives_its_slot_back():
    async def main() -> list[str]:
        free, finished = threading.Event(), []
        workers = Workers(threads=1, max_waiting=1, deadline_s=5)
        running = asyncio.create_task(workers.run(lambda: free.wait(5)))
        abandoned = asyncio.create_task(workers.run(lambda: finished.append("unheard")))
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert workers._calls == 1
        free.set()
        await running
        await asyncio.to_thread(workers._pool.shutdown)  # when all that is still in its queue is done
        return finished

    assert asyncio.run(main()) == []


@pytest.mark.promise("P10")
def test_work_of_a_client_that_left_while_it_waited_is_never_started_and_gives_its_slot_back():
    async def main() -> list[str]:
        free, left, done = threading.Event(), threading.Event(), []
        workers = Workers(threads=1, max_waiting=2, deadline_s=60)

        async def of_a_client(name: str, leaves: bool) -> None:
            client_left.set(left.is_set if leaves else lambda: False)
            await workers.run(lambda: done.append(name))

        running = asyncio.create_task(workers.run(lambda: free.wait(60)))
        leaving = asyncio.create_task(of_a_client("leaves", leaves=True))
        staying = asyncio.create_task(of_a_client("stays", leaves=False))
        await asyncio.sleep(0)
        left.set()
        free.set()
        await asyncio.gather(running, staying)
        with pytest.raises(ClientLeft, match="before its turn came"):
            await leaving
        assert workers._calls == 0
        workers.close()
        return done

    assert asyncio.run(main()) == ["stays"]


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_call_for_which_no_thread_can_be_started_is_refused_and_gives_its_slot_back(monkeypatch):
    """As under a limit of processes, which the system may lift again."""

    async def main() -> list[str]:
        done = []
        workers = Workers(threads=2, max_waiting=1, deadline_s=5)
        with monkeypatch.context() as limited:
            limited.setattr("threading.Thread.start", no_thread)
            for _ in range(4):
                with pytest.raises(Overloaded, match="No thread can be started") as refused:
                    await workers.run(lambda: done.append("refused"))
                assert str(refused.value.__cause__) == "can't start new thread"
        assert workers._calls == 0
        await asyncio.gather(*(workers.run(lambda: done.append("answered")) for _ in range(3)))
        await asyncio.to_thread(workers._pool.shutdown)  # when all that is still in its queue is done
        return done

    assert asyncio.run(main()) == ["answered"] * 3


def test_a_call_for_which_no_thread_can_be_started_holds_no_photo_in_memory(monkeypatch):
    class Photo:
        pass

    async def main() -> None:
        workers, photo = Workers(threads=1, max_waiting=0, deadline_s=5), Photo()
        held = weakref.ref(photo)
        monkeypatch.setattr("threading.Thread.start", no_thread)
        with pytest.raises(Overloaded):
            await workers.run(functools.partial(id, photo))
        del photo
        gc.collect()
        assert held() is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("quota", "bound", "expected"),
    [("max 100000", 8, 8), ("50000 100000", 8, 1), ("250000 100000", 8, 3), ("800000 100000", 2, 2), ("", 4, 4)],
)
def test_the_cores_are_those_the_process_is_bound_to_within_its_cgroups_quota(quota, bound, expected, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(bound)))
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: quota if str(path) == "/sys/fs/cgroup/cpu.max" else 1 / 0)
    assert cores() == expected


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.promise("P16")
def test_a_client_may_send_a_minutes_requests_at_once_and_then_has_to_wait():
    clock = Clock()
    rate = RateLimiter(30, clock)
    for _ in range(30):
        rate.take("a")
    with pytest.raises(RateLimited) as error:
        rate.take("a")
    assert error.value.retry_after == 2
    clock.now += 2
    rate.take("a")
    with pytest.raises(RateLimited):
        rate.take("a")


def test_clients_do_not_use_up_each_others_quota():
    rate = RateLimiter(1, Clock())
    rate.take("a")
    rate.take("b")
    with pytest.raises(RateLimited):
        rate.take("a")


@pytest.mark.promise("P16")
def test_memory_for_clients_is_bounded():
    rate = RateLimiter(1, Clock())
    for number in range(20_000):
        rate.take(str(number))
    assert len(rate._buckets) <= 10_000


def test_no_limit_means_no_limit():
    rate = RateLimiter(0, Clock())
    for _ in range(1000):
        rate.take("a")


@pytest.mark.promise("P13")
def test_a_photo_that_would_be_refused_is_refused_before_it_is_read(model_dir):
    """The body is never requested: calling `receive` fails the test."""
    import asyncio

    from app.main import create_app
    from app.settings import Settings

    app = create_app(Settings(model_dir=model_dir, threads=1, max_waiting=0))
    app.state.service.load()
    app.state.service.workers._calls = 1
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"4000000")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
