"""A child whose decoder has the bugs that a parser may have: the bytes behind a TIFF's first four say which."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from app.inference import decode
from app.inference.cage import child


def broken(data: bytes, max_pixels: int, side: int | None) -> decode.Photo:
    trouble = data[4:].partition(b"!")[0].decode("latin-1")
    if trouble in TROUBLES:
        TROUBLES[trouble]()
    return decode.decode(data, max_pixels, side)


def spin() -> None:
    while True:
        pass


def eat() -> None:
    eaten = []
    while True:
        eaten.append(bytes(64 * 1024 * 1024))  # which Linux clears when it is read, so that this takes no time


def crash() -> None:
    os.abort()


def lie() -> None:
    """What a parser that was taken over might send."""
    os.write(
        int(sys.argv[1]), b'{"done": {"width": 1, "height": 1, "format": "TIFF", "animated": 0, "pixels": [60000, 60000]}}'
    )


def connect() -> None:
    socket.socket(socket.AF_INET)


def read_file() -> None:
    Path("/etc/hostname").read_bytes()


def write_file() -> None:
    Path("/tmp/from-the-cage").write_bytes(b"")


def run_program() -> None:
    subprocess.run(["/bin/true"], check=True)


def fork() -> None:
    os.fork()


def stop_parent() -> None:
    os.kill(os.getppid(), 15)


def more_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


TROUBLES = {
    one.__name__: one
    for one in (spin, eat, crash, lie, connect, read_file, write_file, run_program, fork, stop_parent, more_memory)
}


def unfiltered() -> None:
    """On a system without the filter of calls."""
    sys.modules["seccompy"] = None  # type: ignore[assignment]
    child.main(broken)


if __name__ == "__main__":
    unfiltered() if os.environ.get("CHILD") == "unfiltered" else child.main(broken)
