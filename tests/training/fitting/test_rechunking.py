"""Chunks joined and cut into chunks of other sizes: nothing is lost, and nothing is computed before it is needed."""

import numpy as np
import pytest

from training.fitting.views import _Rechunked


def numbered(sizes: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    ends = np.cumsum(sizes)
    return [(np.arange(end - size, end), np.arange(end - size, end) * 10) for size, end in zip(sizes, ends, strict=True)]


@pytest.mark.parametrize("sizes", [[8, 8, 4], [20], [1] * 20])
@pytest.mark.parametrize("portion", [1, 5, 8, 20])
def test_chunks_are_taken_in_other_portions_and_keep_their_order(sizes, portion):
    joined = _Rechunked(iter(numbered(sizes)))
    taken = [joined.take(min(portion, 20 - start)) for start in range(0, 20, portion)]
    assert [int(n) for numbers, _ in taken for n in numbers] == list(range(20))
    assert [int(n) for _, tens in taken for n in tens] == list(range(0, 200, 10))


def test_a_portion_is_as_large_as_was_asked_for():
    joined = _Rechunked(iter(numbered([8, 8, 4])))
    assert [len(joined.take(count)[0]) for count in (3, 10, 7)] == [3, 10, 7]


def test_no_more_chunks_are_asked_for_than_a_portion_needs():
    chunks = iter(numbered([8, 8, 4]))
    _Rechunked(chunks).take(8)
    assert next(chunks)[0][0] == 8
