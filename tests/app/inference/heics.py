"""HEIC files made by hand, box by box; none of them has pixels."""

import struct

FTYP = struct.pack(">I4s", 20, b"ftyp") + b"heic\0\0\0\0heic"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", bytes(4) + struct.pack(">II", width, height))


ISPE = ispe(64, 64)
PRIMARY = box(b"pitm", bytes(4) + b"\0\1")


def golomb(number: int) -> str:
    """The bits of a number as HEVC's headers write it: as many zeros as there are bits behind the first one."""
    return "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"


def unit(bits: str) -> bytes:
    """A sequence parameter set of these bits, filled up to whole bytes."""
    bits += "0" * (-len(bits) % 8)
    return b"\x42\x01" + int(bits, 2).to_bytes(len(bits) // 8)


def sps(width: int, height: int, chroma: int = 1, layers: int = 0) -> bytes:
    """The begin of an HEVC sequence parameter set, of 4:2:0 pictures unless told otherwise, as far as their size."""
    colours = golomb(chroma) + ("0" if chroma == 3 else "")  # 4:4:4 says whether its planes are coded apart
    levels = "11" * layers + "00" * (8 - layers) + "0" * 96 * layers if layers else ""
    return unit(f"0000{layers:03b}1" + "0" * 96 + levels + golomb(0) + colours + golomb(width) + golomb(height) + "1")


def configured(unit: bytes) -> bytes:
    return box(b"hvcC", bytes(22) + b"\1" + b"\x21\0\1" + struct.pack(">H", len(unit)) + unit)


def infe(number: int, kind: bytes = b"hvc1") -> bytes:
    return box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + kind + b"\0")


def located(method: int, offset: int, size: int) -> bytes:
    """Where the bytes of item 1 are, in a box that says how to find them."""
    return box(b"iloc", b"\1\0\0\0" + b"\x44\0\0\1" + struct.pack(">HHHHII", 1, method, 0, 1, offset, size))


def file_with(
    properties: list[bytes], kind: bytes = b"hvc1", stream: bytes = b"", claimed: int | None = None, more: bytes = b""
) -> bytes:
    """A file of one item of that kind with those properties; `more` are further boxes of its metadata."""
    ipma = box(b"ipma", bytes(4) + struct.pack(">IHB", 1, 1, len(properties)) + bytes(range(1, len(properties) + 1)))
    meta = PRIMARY + box(b"iinf", bytes(4) + b"\0\1" + infe(1, kind))
    meta += box(b"iprp", box(b"ipco", b"".join(properties)) + ipma)

    def whole(offset: int) -> bytes:
        size = len(stream) if claimed is None else claimed
        iloc = box(b"iloc", bytes(4) + b"\x44\0\0\1" + struct.pack(">HHHII", 1, 0, 1, offset, size))
        return FTYP + box(b"meta", bytes(4) + meta + iloc + more) + box(b"mdat", stream)

    return whole(len(whole(0)) - len(stream))


def with_meta(*boxes: bytes) -> bytes:
    """A file of nothing but this metadata."""
    return FTYP + box(b"meta", bytes(4) + b"".join(boxes))
