"""The process gives up its rights: what a decoder does not need, it cannot do any more.

It may compute, allocate memory, start threads, and read and write what is already open. It may not open a file, make a
connection, start a program or touch another process, and nothing gives it the right back. This is done with seccomp, the
kernel's filter of system calls (seccomp(2)), and with resource limits (setrlimit(2)); Linux on x86-64 and ARM64 has both.
"""

import contextlib
import ctypes
import errno
import platform
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ALLOWED = (
    *("read", "write", "readv", "writev", "pread64", "lseek", "close", "fstat", "recvfrom", "sendto", "recvmsg", "sendmsg"),
    *("mmap", "munmap", "mremap", "mprotect", "madvise", "brk"),
    *("futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "gettid", "getpid", "exit", "exit_group"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "getrandom"),
)
"""System calls, where the machine has them."""

_CLONE_THREAD = 0x00010000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def confine(memory_bytes: int, seconds: int | None = None, also: Iterable[str] = ()) -> str:
    """Give up all rights but those above and the system calls `also`, all memory but `memory_bytes` more, and all CPU time
    but `seconds`. Returns what is missing on this system, in words; nothing where all could be done.

    On Linux the process ends when the thread that started it does.
    """
    import resource

    with contextlib.suppress(OSError):  # other systems do not say what is held
        memory_bytes += int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _limit({resource.RLIMIT_AS: memory_bytes, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0})
    if seconds is not None:
        _limit({resource.RLIMIT_CPU: seconds})
    missing = possible() or _filter_calls((*ALLOWED, *also))
    if missing:  # at least no other file can be opened
        _limit({resource.RLIMIT_NOFILE: 0})
    return missing


def _limit(limits: Mapping[int, int]) -> None:
    import resource

    for limit, most in limits.items():
        with contextlib.suppress(ValueError, OSError):  # a lower limit holds already, or macOS keeps none on memory
            resource.setrlimit(limit, (most, most))


def _filter_calls(allowed: Iterable[str]) -> str:
    with contextlib.suppress(OSError):  # where memory runs out, this process shall be the one to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    process = ctypes.CDLL(None)
    process.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    process.prctl(_PR_SET_DUMPABLE, 0)
    try:
        import seccompy
    except ImportError as error:
        return f"system calls are not filtered: {error}"
    try:
        calls = seccompy.Filter(seccompy.Action.ERRNO | errno.EPERM, flags=seccompy.FilterFlag.TSYNC)  # of all threads
        for name in allowed:
            calls.allow(name)
        calls.allow("clone", args=[(0, seccompy.CmpOp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)])
        # The flags of clone3 lie in memory, out of a filter's sight; without it, the C library takes clone.
        calls.errno("clone3", errno.ENOSYS)
        calls.load()
    except (seccompy.SeccompError, LookupError, ValueError) as error:
        return f"system calls are not filtered on this {platform.machine()} machine: {error}"
    return ""


def possible() -> str:
    """Why there can be no cage on this system, in words; nothing where there can."""
    return "" if sys.platform == "linux" else f"{sys.platform} has no seccomp"
