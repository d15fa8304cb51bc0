"""A bucket of tokens for each client: how fast it is refilled, how long a refusal lasts, whom it forgets."""

import pytest

from app.errors import RateLimited
from app.middleware.rate_limit import RateLimiter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(rate: RateLimiter, client: str = "a") -> int | None:
    """The seconds that a client is to wait; None for one that is answered."""
    try:
        rate.take(client)
    except RateLimited as error:
        return error.retry_after
    return None


@pytest.mark.parametrize(("per_minute", "seconds"), [(1, 60), (2, 30), (7, 9), (30, 2), (60, 1), (600, 1)])
def test_a_client_is_answered_again_after_the_seconds_that_it_was_told(clock, per_minute, seconds):
    rate = RateLimiter(per_minute, clock)
    assert [refused(rate) for _ in range(per_minute)] == [None] * per_minute
    assert refused(rate) == seconds
    clock.now += seconds
    assert refused(rate) is None


def test_waiting_shortens_what_is_left_of_it_and_a_refusal_does_not_lengthen_it(clock):
    rate = RateLimiter(15, clock)
    assert [refused(rate) for _ in range(15)] == [None] * 15
    for seconds in (4, 3, 2, 1):
        assert refused(rate) == seconds
        clock.now += 1
    assert refused(rate) is None


def test_who_waits_long_has_a_minutes_requests_and_no_more(clock):
    rate = RateLimiter(3, clock)
    refused(rate)
    clock.now += 3600
    assert [refused(rate) for _ in range(4)] == [None, None, None, 20]


def test_the_limit_is_told(clock):
    rate = RateLimiter(1, clock)
    rate.take("a")
    with pytest.raises(RateLimited, match=r"^The limit is 1 requests per minute; retry in 60 s\.$"):
        rate.take("a")


def test_of_ten_thousand_clients_the_one_that_was_away_longest_is_forgotten(clock):
    rate = RateLimiter(1, clock)
    for number in range(10_000):
        assert refused(rate, str(number)) is None
    assert refused(rate, "0") == 60, "all of them are known"
    assert refused(rate, "another") is None
    assert refused(rate, "1") is None, "it was forgotten"
    assert refused(rate, "3") == 60
