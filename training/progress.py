"""How far a loop is, on standard error: a bar on a terminal; in a log file, a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

TENTHS = 10
SECONDS = 10.0
"""A log file gets a line for each tenth that is done, and none within so many seconds of another; the last line always."""


class Progress:
    """The progress of one loop of `total` steps, `done` of which need not be done any more.

    `unit` names a step; bytes are shown in multiples of a thousand. Without `lines`, a log file gets only what `say` writes.
    """

    def __init__(self, total: int, title: str, unit: str, done: int = 0, lines: bool = True) -> None:
        self.total, self.done = total, done
        self._title, self._unit = title, unit
        terminal = bool(sys.stderr and sys.stderr.isatty())
        self._lines = lines and not terminal
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=title,
            unit="B" if unit == "bytes" else unit,
            unit_scale=unit == "bytes",
            dynamic_ncols=True,
            disable=not terminal,
        )
        self._told, self._told_at = self._tenth(), time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items; each is a step, done when the next one is asked for."""
        with self:
            for item in items:
                yield item
                self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        """So many steps are done."""
        self._bar.update(done - self.done)
        self.done = done
        if not self._lines or self._tenth() == self._told:
            return
        now = time.monotonic()
        if done >= self.total or now - self._told_at >= SECONDS:
            self._told, self._told_at = self._tenth(), now
            self.say(f"{self._title}: {self._amount(done)} of {self._amount(self.total)}")

    def title(self, text: str) -> None:
        """Show another title beside the bar."""
        self._title = text
        self._bar.set_description(text)

    def say(self, line: str, file: TextIO | None = None) -> None:
        """Write a line to standard error, or to `file`, without breaking the bar."""
        with tqdm.external_write_mode(file=file or sys.stderr):
            print(line, file=file or sys.stderr, flush=True)

    def _amount(self, steps: int) -> str:
        return f"{steps / 1e6:.1f} MB" if self._unit == "bytes" else str(steps)

    def _tenth(self) -> int:
        return TENTHS * self.done // max(1, self.total)
