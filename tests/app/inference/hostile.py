"""Files that look like photos and are built to cost their reader time or memory."""

import struct
import zlib

from PIL import Image

from tests.conftest import encoded


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(entries: list[tuple[int, int, int, int]], behind: int = 0, order: str = "<") -> bytes:
    """A directory of (tag, type, count, value or offset)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHII", *entry) for entry in entries) + bytes(4 + behind)


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(min(10_000, (width * 3 + 1) * height))))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND")


def bombs() -> dict[str, bytes]:
    """Small files that claim to be large."""
    size = 65_500
    grey = Image.new("L", (16, 16))
    jpeg = encoded(grey, "JPEG").replace(b"\x08\x00\x10\x00\x10", b"\x08" + struct.pack(">HH", size, size))
    gif = encoded(grey, "GIF")
    frame = gif.index(b"\x2c\0\0\0\0\x10\0\x10\0")
    wide = struct.pack("<HH", size, size)
    tif = encoded(grey, "TIFF")
    bmp = encoded(grey, "BMP")
    webp = bytearray(encoded(grey.convert("RGB"), "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")]))
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = (16_382).to_bytes(3, "little") * 2
    return {
        "JPEG": jpeg,
        "PNG": png(chunk(b"IDAT", zlib.compress(bytes(10_000_000))), width=size, height=size),
        "GIF": gif[:6] + wide + gif[10:],
        "GIF whose frame is larger than itself": gif[: frame + 5] + wide + gif[frame + 9 :],
        "TIFF": tif.replace(struct.pack("<HHII", 256, 4, 1, 16), struct.pack("<HHII", 256, 4, 1, size)).replace(
            struct.pack("<HHII", 257, 4, 1, 16), struct.pack("<HHII", 257, 4, 1, size)
        ),
        "BMP": bmp[:18] + struct.pack("<ii", size, size) + bmp[26:],
        "WEBP": bytes(webp),
    }


def hostile() -> dict[str, bytes]:
    """Bombs and floods; the floods are as large as a request may be."""
    jpeg = encoded(Image.new("RGB", (64, 48)), "JPEG")
    progressive = encoded(Image.new("RGB", (64, 48)), "JPEG", progressive=True)
    scan = progressive.rindex(b"\xff\xda")
    large = progressive[:scan].replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 5000, 9000))
    gif = encoded(Image.new("P", (8, 8)), "GIF")
    most = 20_000_000
    exif = segment(0xE1, b"Exif\0\0" + tiff(GREEDY, 20_000))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000)))
    return {f"{kind} that claims billions of pixels": data for kind, data in bombs().items()} | {
        "JPEG of segments": jpeg[:2] + segment(0xE5, b"") * (most // 4) + jpeg[2:],
        "JPEG of padding": jpeg[:2] + b"\xff" * most + jpeg[2:],
        "JPEG of junk": jpeg[:2] + segment(0xE5, b"") + bytes(most) + jpeg[2:],
        "JPEG whose EXIF claims itself a thousand times": jpeg[:2] + exif + jpeg[2:],
        "JPEG that goes over 45 megapixels again and again": large + progressive[scan:-2] * 100_000 + b"\xff\xd9",
        "PNG of chunks": png(chunk(b"ruSt") * (most // 12)),
        "PNG of empty pieces": png(chunk(b"IDAT") * (most // 12)),
        "PNG whose texts unpack to a gigabyte": png(text * 1000),
        "GIF of blocks": gif[:13] + b"\x21\xfe" + b"\x01a" * (most // 2) + gif[13:],
        "TIFF whose tags claim itself a thousand times": tiff(GREEDY, most),
        "BigTIFF of a trillion tags": b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 10**12) + bytes(most),
        "bytes of no format": bytes(most),
    }


GREEDY = [(tag, 7, 30_000, 8) for tag in range(1, 1500)]
"""Tags that each claim the same thirty thousand bytes: 45 MB out of 48 kB."""
