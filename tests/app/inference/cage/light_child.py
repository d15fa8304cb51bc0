"""A child without a decoder, which begins quickly: a photo is a JSON object that says what becomes of it.

It keeps to the protocol by itself, so that it also shows what a cage says to its processes.
"""

import fcntl
import json
import mmap
import os
import socket
import sys
import time

LIGHT = "tests.app.inference.cage.light_child"
PIXELS = 1_000_000


def order(do: str, **more: object) -> bytes:
    return json.dumps({"do": do, **more}).encode()


COLOURS = [255, 0, 0, 0, 0, 255]
DONE = {"width": 20, "height": 10, "format": "TIFF", "animated": False, "pixels": [2, 1]}
PHOTO = order("answer", colours=COLOURS, answer={"done": DONE})


def open_files() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]


def tell(control: int, memory_file: int, files: list[int], message: bytes) -> dict[str, object]:
    """What the process was given."""
    return {
        "task": json.loads(message),
        "size": int(sys.argv[3]),
        "budget": int(sys.argv[4]),
        "size_of_file": os.fstat(memory_file).st_size,
        "seals": fcntl.fcntl(memory_file, fcntl.F_GET_SEALS),
        "files": sorted(set(files) - {control, memory_file}),
        "streams": [os.readlink(f"/proc/self/fd/{number}") for number in range(3)],
        "cwd": os.getcwd(),
        "given": os.environ.get("GIVEN"),
        "pid": os.getpid(),
    }


def main() -> None:
    control, memory_file, size, _ = map(int, sys.argv[1:])
    files = open_files()
    begin = os.environ.get("BEGIN", "confined")
    with socket.socket(fileno=control) as talk, mmap.mmap(memory_file, size) as memory:
        if begin == "never":
            talk.recv(1)
        talk.send(begin.encode())
        if begin == "deaf":  # it ends before it has read its first photo's task, which then lies unread in the socket
            talk.recv(1, socket.MSG_PEEK)
            return
        while message := talk.recv(8192):
            photo = json.loads(memory[: json.loads(message)["size"]])
            if photo["do"] == "tell":
                detail = json.dumps(tell(control, memory_file, files, message))
                talk.send(json.dumps({"refused": "BrokenImage", "detail": detail}).encode())
            elif photo["do"] == "sleep":
                time.sleep(60)
            elif photo["do"] == "answer":
                pixels = bytes(photo["colours"])
                memory[: len(pixels)] = pixels
                talk.send(json.dumps(photo["answer"]).encode())
            else:
                os.abort()


if __name__ == "__main__":
    main()
