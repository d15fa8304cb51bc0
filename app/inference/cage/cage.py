"""A photo's bytes come in, a process without rights decodes them, and its pixels go out. The process lives on, for the next.

Each photo has a process to itself while it is decoded. A process that crashes, or does not answer in time, is replaced at
once; it takes one photo with it.
"""

import atexit
import contextlib
import fcntl
import logging
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.errors import BrokenImage, Overloaded
from app.inference.cage import messages
from app.inference.cage.messages import Decoded, NoSense
from app.inference.decode import FORMATS

log = logging.getLogger("catscope")

CHILD = f"{__package__}.child"
BUDGET_PER_PIXEL = 24
"""Bytes that a decoder may allocate for each accepted pixel: at worst, a grey TIFF in float is copied to float, to bytes, to
four bytes a pixel and, turned, to four more.
"""
BUDGET = 256 * 1024 * 1024
"""Bytes that it may allocate besides."""
BEGINNING_S = 30.0
"""How long a process may take to begin."""

_ROOT = Path(__file__).parents[__name__.count(".")]


class Cage:
    """Decodes photos in processes of their own, each within `seconds`. Threads may share it.

    `environment` is that of the processes, `child` the module that they run, and `lost` is called whenever one was lost.
    """

    def __init__(
        self,
        seconds: float,
        environment: Mapping[str, str],
        child: str = CHILD,
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        self.seconds, self._environment, self._child, self._lost = seconds, environment, child, lost
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._nursery = ThreadPoolExecutor(
            1, thread_name_prefix="catscope-cage"
        )  # a child ends with the thread that began it
        self._closed = False
        atexit.register(self.close)

    def decode(self, data: bytes, max_pixels: int, side: int | None) -> Decoded:
        """Decode a photo, as `app.inference.decode.decode` does.

        Raises what that raises, BrokenImage where the decoder crashes or takes too long, and Overloaded where it runs out of
        memory or no process can be started.
        """
        process = self._take(max_pixels, len(data))
        try:
            answer = process.decode(data, max_pixels, side, self.seconds)
        except _Lost as lost:
            self._replace(process)
            log.warning("a decoder was replaced: it %s on a photo of %d bytes", lost, len(data))
            raise BrokenImage(f"The photo cannot be decoded: its decoder {lost}.") from None
        except BaseException:
            self._give_back(process)
            raise
        self._give_back(process)
        return answer

    def close(self) -> None:
        """End all processes; those that are decoding end with their photo."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for process in idle:
            process.end()
        self._nursery.shutdown(wait=False, cancel_futures=True)
        atexit.unregister(self.close)

    def _take(self, max_pixels: int, size: int) -> "_Process":
        with self._lock:
            fitting = [one for one in self._idle if one.fits(max_pixels, size)]
            unfit = [] if fitting else self._idle
            self._idle = [one for one in self._idle if one is not fitting[-1]] if fitting else []
        for process in unfit:
            process.end()
        if fitting:
            return fitting[-1]
        try:
            return self._nursery.submit(self._begin, max_pixels, size).result()
        except (OSError, RuntimeError, _Lost) as error:
            log.error("no process can be started for decoding: %s", error)
            raise Overloaded("No process can be started for decoding this photo; retry shortly.") from error

    def _begin(self, max_pixels: int, size: int) -> "_Process":
        return _Process(self._child, self._environment, max_pixels, size)

    def _give_back(self, process: "_Process") -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(process)
                return
        process.end()

    def _replace(self, process: "_Process") -> None:
        """End a process, and begin another before it is needed."""
        process.end()
        self._lost()

        def begin() -> None:
            try:
                self._give_back(self._begin(process.max_pixels, process.size))
            except (OSError, _Lost) as error:
                log.error("no process can be started for decoding: %s", error)

        with contextlib.suppress(RuntimeError):  # the cage is being closed
            self._nursery.submit(begin)


class _Lost(Exception):
    """What became of a process that gave no answer, as the end of a sentence."""


class _Process:
    """A process in the cage, and the memory that is shared with it."""

    def __init__(self, child: str, environment: Mapping[str, str], max_pixels: int, size: int) -> None:
        self.max_pixels, self.size = max_pixels, max(3 * max_pixels, size)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:  # ours are closed here if anything fails
            memory = os.memfd_create("catscope-photo", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            theirs.callback(os.close, memory)
            self._talk, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.enter_context(self._talk)
            theirs.enter_context(other_end)
            os.ftruncate(memory, self.size)  # only the pages that are written take memory
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = ours.enter_context(mmap.mmap(memory, self.size))
            budget = BUDGET + BUDGET_PER_PIXEL * max_pixels
            self._process = subprocess.Popen(  # noqa: S603 - our own module, and numbers
                [sys.executable, "-m", child, *map(str, (other_end.fileno(), memory, self.size, budget))],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(other_end.fileno(), memory),
            )
            ours.pop_all()
        try:
            begun = self._receive(BEGINNING_S)
        except _Lost:
            self.end()
            raise
        if begun != b"confined":
            log.warning("photos are decoded in a process of their own that keeps some rights: %s", begun.decode())

    @property
    def pid(self) -> int:
        return self._process.pid

    def fits(self, max_pixels: int, size: int) -> bool:
        """Whether it lives and can decode such a photo. One that was meant for more would let it take more memory."""
        return max_pixels == self.max_pixels and size <= self.size and self._process.poll() is None

    def decode(self, data: bytes, max_pixels: int, side: int | None, seconds: float) -> Decoded:
        """Raises the decoder's refusals, and _Lost: the process must then be ended."""
        self._memory[: len(data)] = data
        try:
            self._talk.send(messages.task(len(data), max_pixels, side))
            return messages.decoded(self._receive(seconds), self._memory, max_pixels, FORMATS)
        except OSError as error:
            raise _Lost("crashed") from error
        except NoSense as error:
            raise _Lost(f"made no sense ({error})") from error
        finally:
            self._memory.madvise(mmap.MADV_REMOVE)  # give the pages back

    def _receive(self, seconds: float) -> bytes:
        self._talk.settimeout(seconds)
        try:
            message = self._talk.recv(messages.LARGEST)
        except TimeoutError:
            raise _Lost(f"took longer than {seconds:g} s") from None
        except OSError as error:
            raise _Lost("crashed") from error
        if not message:
            raise _Lost("crashed")
        return message

    def end(self) -> None:
        """Kill it."""
        self._talk.close()
        self._process.kill()
        self._process.wait()
        self._memory.close()
