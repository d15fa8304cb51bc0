"""Takes bytes as the body of an upload and returns the service's verdict on them. Anything else is a crash.

`python -m tests.security.fuzz_upload FOLDER [libFuzzer's options]` lets atheris look for crashes, guided by which lines of
the form's and the photos' readers its inputs reach, with `--photos` the photos' alone; `corpus` writes the files that it begins with. The other tests of
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
BARE = "--photos"
INSTRUMENTED = ["app.schemas.form", "app.inference", "PIL", "python_multipart"]


def _instrumented() -> contextlib.AbstractContextManager[object]:
    """Instruments what is imported inside it for atheris, if this file is run for atheris."""
    if __name__ != "__main__":
        return contextlib.nullcontext()
    import atheris

    return atheris.instrument_imports(include=INSTRUMENTED)


with _instrumented():
    import numpy as np
    from PIL import Image
    from starlette.requests import Request

    from app.errors import RequestError
    from app.inference import decode
    from app.schemas import form
    from tests.security.heics import heics

    for _reader in ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
        importlib.import_module(
            f"PIL.{_reader}ImagePlugin"
        )  # Pillow imports it only for the first such photo, which is too late


def upload_of(photo: bytes) -> bytes:
    """The body of an upload of that photo."""
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head % BOUNDARY + photo + b"\r\n--%s--\r\n" % BOUNDARY


def look(body: bytes) -> str:
    """The service's verdict on that body: the photo's format, or the name of the error that it answers with."""
    kind = (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    reading = form.file(Request({"type": "http", "headers": [kind]}, receive))
    try:
        reading.send(None)  # it never waits: the body is there
    except RequestError as error:
        return type(error).__name__
    except StopIteration as done:
        return look_at_photo(done.value)
    raise AssertionError("it waits for more than one body")


def look_at_photo(photo: bytes) -> str:
    """The same verdict on the photo alone, without an upload around it."""
    try:
        return decode.decode(photo, MAX_PIXELS, 64 if len(photo) % 2 else None).format
    except RequestError as error:
        return type(error).__name__


# Valid photos


def photos() -> dict[str, bytes]:
    """A small photo in every format that is read, in each variant that has its own branch in a reader."""
    y, x = np.mgrid[0:30, 0:40]
    picture = Image.fromarray(np.stack([x * 6, y * 8, (x * y) % 256], 2).astype(np.uint8))
    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray((x * 6).astype(np.uint8)))
    deep = Image.fromarray((x * 1500 + y).astype(np.uint16))
    other = picture.transpose(Image.Transpose.ROTATE_180)
    turned = Image.Exif()
    turned[0x0112], turned[0x010F] = 6, "a camera"

    def frames() -> dict[str, object]:  # copies, since the writers modify the pictures
        return {"save_all": True, "append_images": [other.copy(), picture.copy()]}

    pictures = {
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
    photos_by_name = {}
    for name, (kind, image, options) in pictures.items():
        out = io.BytesIO()
        image.save(out, kind, **options)
        photos_by_name[name] = out.getvalue()
    return (
        photos_by_name
        | heics(picture, clear, np.asarray(deep))
        | {
            "png-interlaced": _interlaced(np.asarray(picture)),
            "png-texts": _with_texts(photos_by_name["png"]),
        }
    )


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
    """`data` after one to four mutations, some of which insert pieces of `other`."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_ACCIDENTS)(data, other, random)
    return data


def _offset(data: bytes, random: Random) -> int:
    """An offset anywhere, and more often near the beginning, where headers are."""
    return random.randrange(min(len(data), random.choice((64, 1024, len(data)))) or 1) if data else 0


def _flip(data: bytes, other: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if changed else 0):
        changed[_offset(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut_off(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _cut_out(data: bytes, other: bytes, random: Random) -> bytes:
    offset = _offset(data, random)
    return data[:offset] + data[offset + random.choice((1, 4, 12, 200, len(data))) :]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: _offset(data, random)] + other[_offset(other, random) :]


def _insert(data: bytes, other: bytes, random: Random) -> bytes:
    offset, source = _offset(data, random), _offset(other, random)
    piece = random.choice((random.randbytes(random.randint(1, 32)), other[source : source + random.randint(1, 256)]))
    return data[:offset] + piece + data[offset:]


def _repeat(data: bytes, other: bytes, random: Random) -> bytes:
    offset = _offset(data, random)
    piece = data[offset : offset + random.choice((1, 4, 12, 60, 500))]
    return data[:offset] + piece * random.choice((2, 3, 20, 200, 3000 if len(piece) < 100 else 300)) + data[offset:]


def _overwrite(data: bytes, other: bytes, random: Random) -> bytes:
    """Put a number where the file may say how long, how many, how wide or where."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("big", "little"))
    number = random.choice((*_LENGTHS, random.randrange(4000), len(data) + random.randint(-4, 4)))
    offset = _offset(data, random)
    return data[:offset] + (max(0, number) % 256**size).to_bytes(size, order) + data[offset + size :]


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
        b"ftypheic",
        b"ftypmif1",
        b"hvc1",
        b"hvcC",
        b"ispe",
        b"grid",
        b"dimg",
        b"pitm",
    ),
)


def corpus(folder: Path, kind: str = "") -> Path:
    """Write the initial corpus, uploads of all photos or bare photos of one `kind`, into the folder, and a dictionary beside
    it; returns the dictionary's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, photo in photos().items():
        if name.startswith(kind):
            (folder / name).write_bytes(photo if kind else upload_of(photo))
    words = folder.with_suffix(".words")
    words.write_text("".join('"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in word)) for word in _WORDS))
    return words


def main() -> None:
    """Fuzz until the limits in the options are reached, or something crashes."""
    import atheris

    target = look_at_photo if BARE in sys.argv else look
    atheris.Setup([argument for argument in sys.argv if argument != BARE], lambda data: target(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
