"""The process in the cage: photos come in, one at a time, in memory that it shares; their pixels go out the same way.

    python -m app.inference.cage.child CONTROL MEMORY SIZE BUDGET

CONTROL is the number of an open socket for the messages, MEMORY that of an open file of SIZE bytes, and BUDGET how many
bytes the process may allocate beyond those that it begins with.
"""

import mmap
import socket
import sys
from collections.abc import Callable
from importlib import import_module

from app.errors import BrokenImage, Overloaded, RequestError
from app.inference import decode
from app.inference.cage import messages
from app.inference.cage.confinement import confine
from app.inference.cage.messages import Decoded
from app.inference.decode import Photo

Decoder = Callable[[bytes, int, int | None], Photo]


def main(decoder: Decoder = decode.decode) -> None:
    """Decode until the socket closes."""
    control, memory_file, size, budget = map(int, sys.argv[1:])
    with socket.socket(fileno=control) as talk, mmap.mmap(memory_file, size) as memory:
        _import_all()
        talk.send(confine(budget).encode() or b"confined")
        while message := talk.recv(messages.LARGEST):
            talk.send(_answer(message, memory, decoder))


def _import_all() -> None:
    """Import what decoding imports on first use: in the cage, no file can be opened."""
    decode.prepare()
    for name in ("Avif", "Mpo", "Tiff", "WebP"):  # the other formats' are imported by `prepare`
        import_module(f"PIL.{name}ImagePlugin")
    try:
        import_module("_pi_heif")
    except ImportError:
        return  # a HEIC photo is then refused by its name


def _answer(message: bytes, memory: mmap.mmap, decoder: Decoder) -> bytes:
    size, max_pixels, side = messages.told(message)
    try:
        photo = decoder(memory[:size], max_pixels, side)
        pixels = photo.image.tobytes()
        memory[: len(pixels)] = pixels
    except RequestError as error:
        return messages.refused(error)
    except MemoryError:
        return messages.refused(Overloaded("Not enough memory for this photo; retry shortly."))
    except Exception as error:  # a bug, which outside would be answered with 500
        return messages.refused(BrokenImage(f"It cannot be decoded: {type(error).__name__}."))
    return messages.done(Decoded(photo.image, photo.width, photo.height, photo.format, photo.animated))


if __name__ == "__main__":  # pragma: no cover - only in the cage, from which no measurement comes out
    main()
