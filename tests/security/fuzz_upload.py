"""Bytes come in, as the body of an upload; what the service would say of them goes out. Anything else is a crash.

`python -m tests.security.fuzz_upload FOLDER [libFuzzer's options]` lets atheris look for crashes, guided by which lines of
the form's and the photos' readers its inputs reach; `corpus` writes the files that it begins with. The other tests of
hostile photos take their valid ones, and the ways to damage them, from here too.
"""

import contextlib
import importlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

MAX_PIXELS = 1_000_000
BOUNDARY = b"d74496d66958873e"
INSTRUMENTED = ["app.upload", "app.inference", "PIL", "python_multipart"]


def _instrumented() -> contextlib.AbstractContextManager[object]:
    """What is imported inside of this tells atheris where its inputs go, where this file is run for it."""
    if __name__ != "__main__":
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=INSTRUMENTED)


with _instrumented():
    import numpy as np
    from PIL import Image
    from starlette.requests import Request

    from app import upload
    from app.errors import RequestError
    from app.inference import decode

    for _reader in ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
        importlib.import_module(f"PIL.{_reader}ImagePlugin")  # Pillow itself imports it for the first such photo: too late


def form(photo: bytes) -> bytes:
    """The body of an upload of that photo."""
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head % BOUNDARY + photo + b"\r\n--%s--\r\n" % BOUNDARY


def look(body: bytes) -> str:
    """What the service says of that body: the photo's format, or the name of the error that it answers."""
    kind = (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    reading = upload.file(Request({"type": "http", "headers": [kind]}, receive))
    try:
        reading.send(None)  # it never waits: the body is there
    except RequestError as error:
        return type(error).__name__
    except StopIteration as done:
        try:
            return decode.decode(done.value, MAX_PIXELS, 64 if len(body) % 2 else None).format
        except RequestError as error:
            return type(error).__name__
    raise AssertionError("it waits for more than one body")


# Valid photos


def photos() -> dict[str, bytes]:
    """A small photo in every format that is read, in each guise that has a reader's branch of its own."""
    y, x = np.mgrid[0:30, 0:40]
    picture = Image.fromarray(np.stack([x * 6, y * 8, (x * y) % 256], 2).astype(np.uint8))
    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray((x * 6).astype(np.uint8)))
    deep = Image.fromarray((x * 1500 + y).astype(np.uint16))
    other = picture.transpose(Image.Transpose.ROTATE_180)
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "a camera"

    def frames() -> dict[str, object]:  # copies: the writers leave notes on the pictures
        return {"save_all": True, "append_images": [other.copy(), picture.copy()]}

    made = {
        "jpeg": ("JPEG", picture, {}),
        "jpeg-progressive": ("JPEG", picture, {"progressive": True, "subsampling": 0}),
        "jpeg-grey": ("JPEG", picture.convert("L"), {}),
        "jpeg-cmyk": ("JPEG", picture.convert("CMYK"), {}),
        "jpeg-restarts": ("JPEG", picture, {"restart_marker_blocks": 2, "comment": b"a word"}),
        "jpeg-turned": ("JPEG", picture, {"exif": turned}),
        "jpeg-pair": ("MPO", picture, frames()),
        "png": ("PNG", picture, {}),
        "png-palette": ("PNG", picture.quantize(16), {"transparency": 3}),
        "png-bits": ("PNG", picture.convert("1"), {}),
        "png-deep": ("PNG", deep, {}),
        "png-alpha": ("PNG", clear, {"exif": turned}),
        "png-grey-alpha": ("PNG", clear.convert("LA"), {}),
        "png-animated": ("PNG", picture, frames()),
        "webp": ("WEBP", picture, {"exif": turned}),
        "webp-lossless": ("WEBP", picture, {"lossless": True}),
        "webp-alpha": ("WEBP", clear, {}),
        "webp-animated": ("WEBP", picture, frames()),
        "gif": ("GIF", picture, {"transparency": 3}),
        "gif-animated": ("GIF", picture, frames()),
        "bmp": ("BMP", picture, {}),
        "bmp-palette": ("BMP", picture.quantize(16), {}),
        "bmp-bits": ("BMP", picture.convert("1"), {}),
        "tiff": ("TIFF", picture, {"exif": turned}),
        "tiff-lzw": ("TIFF", picture, {"compression": "tiff_lzw"}),
        "tiff-deflate": ("TIFF", clear, {"compression": "tiff_adobe_deflate"}),
        "tiff-jpeg": ("TIFF", picture, {"compression": "jpeg"}),
        "tiff-packbits": ("TIFF", picture.quantize(16), {"compression": "packbits"}),
        "tiff-cmyk": ("TIFF", picture.convert("CMYK"), {}),
        "tiff-deep": ("TIFF", deep, {"big_tiff": True}),
        "tiff-float": ("TIFF", Image.fromarray((x / 40).astype(np.float32)), {}),
        "tiff-pages": ("TIFF", picture, frames()),
        "avif": ("AVIF", picture, {"exif": turned}),
        "avif-alpha": ("AVIF", clear, {}),
        "avif-animated": ("AVIF", picture, frames()),
    }
    found = {}
    for name, (kind, image, options) in made.items():
        out = io.BytesIO()
        image.save(out, kind, **options)
        found[name] = out.getvalue()
    return found | {"png-interlaced": _interlaced(np.asarray(picture)), "png-texts": _with_texts(found["png"])}


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _interlaced(pixels: np.ndarray) -> bytes:
    """RGB pixels, (H, W, 3), as a PNG in Adam7's seven passes, which Pillow reads and does not write."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    lines = [line for x, y, right, down in passes for line in pixels[y::down, x::right] if line.size]
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _with_texts(png: bytes) -> bytes:
    """A PNG with a text of each kind, one of which is an EXIF block as ImageMagick writes it."""
    exif = (
        b"\nexif\n      26\n" + (b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0").hex().encode()
    )
    texts = _chunk(b"tEXt", b"Comment\0a word") + _chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif))
    texts += _chunk(b"iTXt", b"Title\0\1\0en\0\0" + zlib.compress(b"a title")) + _chunk(b"gAMA", struct.pack(">I", 45455))
    texts += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(200))) + _chunk(b"pHYs", struct.pack(">IIB", 72, 72, 1))
    return png[:33] + texts + png[33:]


# Ways to damage them

_LENGTHS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)


def damaged(data: bytes, other: bytes, random: Random) -> bytes:
    """`data` after one to four accidents, some of which bring pieces of `other`."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_ACCIDENTS)(data, other, random)
    return data


def _place(data: bytes, random: Random) -> int:
    """Anywhere, and as often near the beginning, where headers are."""
    return random.randrange(min(len(data), random.choice((64, 1024, len(data)))) or 1) if data else 0


def _flip(data: bytes, other: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if changed else 0):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut_off(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _cut_out(data: bytes, other: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at + random.choice((1, 4, 12, 200, len(data))) :]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: _place(data, random)] + other[_place(other, random) :]


def _insert(data: bytes, other: bytes, random: Random) -> bytes:
    at, source = _place(data, random), _place(other, random)
    piece = random.choice((random.randbytes(random.randint(1, 32)), other[source : source + random.randint(1, 256)]))
    return data[:at] + piece + data[at:]


def _repeat(data: bytes, other: bytes, random: Random) -> bytes:
    at = _place(data, random)
    piece = data[at : at + random.choice((1, 4, 12, 60, 500))]
    return data[:at] + piece * random.choice((2, 3, 20, 200, 3000 if len(piece) < 100 else 300)) + data[at:]


def _overwrite(data: bytes, other: bytes, random: Random) -> bytes:
    """Put a number where the file may say how long, how many, how wide or where."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("big", "little"))
    number = random.choice((*_LENGTHS, random.randrange(4000), len(data) + random.randint(-4, 4)))
    at = _place(data, random)
    return data[:at] + (max(0, number) % 256**size).to_bytes(size, order) + data[at + size :]


_ACCIDENTS: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    _flip,
    _flip,
    _cut_off,
    _cut_out,
    _splice,
    _insert,
    _repeat,
    _overwrite,
    _overwrite,
)


# atheris

_WORDS = (
    *(
        b"--" + BOUNDARY,
        b"\r\n\r\n",
        b"Content-Disposition: form-data; ",
        b'name="file"',
        b"filename*=UTF-8''",
        b"\xff\xd8\xff",
    ),
    *(b"\xff\xda", b"\xff\xdb", b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xdd", b"\xff\xe1", b"\xff\xe2", b"\xff\xee"),
    *(b"Exif\0\0", b"MPF\0", b"JFIF\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(
        b"\x89PNG\r\n\x1a\n",
        b"IHDR",
        b"IDAT",
        b"IEND",
        b"PLTE",
        b"tRNS",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"eXIf",
        b"iTXt",
        b"zTXt",
    ),
    *(
        b"RIFF",
        b"WEBP",
        b"VP8 ",
        b"VP8L",
        b"VP8X",
        b"ANIM",
        b"ANMF",
        b"ALPH",
        b"GIF87a",
        b"GIF89a",
        b"\x21\xff",
        b"\x21\xf9",
    ),
    *(
        b"NETSCAPE2.0",
        b"BM",
        b"ftypavif",
        b"ftypavis",
        b"meta",
        b"iloc",
        b"iinf",
        b"iprp",
        b"ipco",
        b"irot",
        b"imir",
        b"av01",
    ),
)


def corpus(folder: Path) -> Path:
    """Write what atheris begins with into the folder, and beside it the words that it may use; returns the words' file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo in photos().items():
        (folder / name).write_bytes(form(photo))
    words = folder.with_suffix(".words")
    words.write_text("".join('"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in word)) for word in _WORDS))
    return words


def main() -> None:
    """Fuzz until the options say that it is enough, or something crashes."""
    import atheris

    atheris.Setup(sys.argv, lambda data: look(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
