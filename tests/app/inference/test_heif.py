"""HEIC photos, made here with pillow-heif's encoder, and those that claim what they do not have."""

import io
import struct
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.errors import BrokenImage, TooLarge, UnsupportedImage
from app.inference.decode import decode
from tests.conftest import ROOT, encoded

CASES = ROOT.parent / "shared" / "cases"


def heic(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "HEIC", **options)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def apart(data: bytes, image: Image.Image) -> float:
    """The mean difference to the image, of 255."""
    return float(np.abs(np.asarray(decode(data).image, int) - np.asarray(image, int)).mean())


@pytest.mark.parametrize("name", ["phone.HEIC", "heic-named.jpg"])
def test_the_photo_of_a_phone_is_read_whatever_its_name(name, cat_image):
    if not (CASES / name).exists():
        pytest.skip(f"needs {name} of the shared cases")
    photo = decode((CASES / name).read_bytes())
    assert (photo.format, photo.width, photo.height) == ("HEIC", 451, 300)
    assert apart((CASES / name).read_bytes(), cat_image) < 4


def test_the_picture_is_the_one_that_was_encoded(cat_image):
    assert apart(heic(cat_image), cat_image) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_once_though_exif_says_it_too(cat_image, orientation):
    """The encoder writes irot and imir for the orientation; the EXIF block may go on to say it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = encoded(cat_image, "PNG", exif=exif)
    upright = decode(plain).image
    data = heic(cat_image, exif=exif.tobytes())
    assert apart(data, upright) < 4
    said_again = data.replace(b"\x12\x01\x03\0\x01\0\0\0\x01\0", b"\x12\x01\x03\0\x01\0\0\0\x06\0")
    assert apart(said_again, upright) < 4
    assert (decode(data).width, decode(data).height) == upright.size


def test_ten_bits_keep_their_high_ones(cat_image):
    values = (np.asarray(cat_image).astype("<u2") * 257).tobytes()
    out = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", cat_image.size, values).save(out, quality=90)
    assert pillow_heif.open_heif(out.getvalue(), convert_hdr_to_8bit=False).info["bit_depth"] == 10
    assert apart(out.getvalue(), cat_image) < 4


def test_transparent_pixels_lie_on_white(cat_image):
    clear = cat_image.convert("RGBA")
    clear.putalpha(Image.new("L", cat_image.size, 0))
    assert np.asarray(decode(heic(clear)).image).min() > 250


def test_a_grey_one_has_three_equal_channels(cat_image):
    pixels = np.asarray(decode(heic(cat_image.convert("L"))).image).astype(int)
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() <= 1


@pytest.mark.parametrize("primary", [0, 1])
def test_of_several_images_the_primary_one_is_read(primary):
    file = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    file.add_from_pillow(Image.new("RGB", (64, 64), "blue"))
    out = io.BytesIO()
    file.save(out, primary_index=primary)
    red, _, blue = np.asarray(decode(out.getvalue()).image)[32, 32].astype(int)
    assert (red > blue) == (primary == 0)


def test_the_generic_brand_is_told_by_the_compatible_ones(cat_image):
    data = heic(cat_image)
    generic = data.replace(b"ftypheic", b"ftypmif1", 1)
    assert decode(generic).format == "HEIC"
    with pytest.raises(UnsupportedImage, match="HEIF with another coding"):
        decode(box(b"ftyp", b"mif1\0\0\0\0mif1miaf") + bytes(40))


@pytest.fixture(scope="module")
def large(cat_image) -> tuple[Image.Image, bytes]:
    """A picture of 1804 x 1200 pixels, and its file; encoding takes seconds."""
    image = cat_image.resize((1804, 1200))
    return image, heic(image)


@pytest.mark.parametrize(("side", "size"), [(None, (1804, 1200)), (300, (902, 600)), (60, (181, 120)), (1000, (1804, 1200))])
def test_a_large_one_is_reduced_to_what_leaves_twice_the_side(large, side, size):
    image, file = large
    photo = decode(file, side=side)
    assert (photo.image.size, photo.width, photo.height) == (size, 1804, 1200)
    small = image.resize(size, Image.Resampling.BOX)
    assert np.abs(np.asarray(photo.image, int) - np.asarray(small, int)).mean() < 4


def test_one_of_too_many_pixels_is_refused_with_both_numbers(cat_image):
    with pytest.raises(TooLarge, match=r"45\d x 300 = \d+ pixels; at most 1000 "):
        decode(heic(cat_image), max_pixels=1000)


# Files that claim what they do not have


def claims(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in every `ispe` property."""
    at = data.index(b"ispe")
    while at >= 0:
        data = data[: at + 8] + struct.pack(">II", width, height) + data[at + 16 :]
        at = data.find(b"ispe", at + 4)
    return data


def sps(width: int, height: int, chroma: int = 1, layers: int = 0) -> bytes:
    """The begin of an HEVC sequence parameter set, of 4:2:0 pictures unless told otherwise, as far as their size."""

    def golomb(number: int) -> str:
        return "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"

    colours = golomb(chroma) + ("0" if chroma == 3 else "")  # 4:4:4 says whether its planes are coded apart
    levels = "11" * layers + "00" * (8 - layers) + "0" * 96 * layers if layers else ""
    bits = f"0000{layers:03b}1" + "0" * 96 + levels + golomb(0) + colours + golomb(width) + golomb(height) + "1"
    bits += "0" * (-len(bits) % 8)
    return b"\x42\x01" + int(bits, 2).to_bytes(len(bits) // 8)


def file_with(
    properties: list[bytes], kind: bytes = b"hvc1", stream: bytes = b"", claimed: int | None = None, more: bytes = b""
) -> bytes:
    """A file of one item of that kind with those properties; `more` are further boxes of its metadata."""
    infe = box(b"infe", b"\2\0\0\0\0\1\0\0" + kind + b"\0")
    ipma = box(b"ipma", bytes(4) + struct.pack(">IHB", 1, 1, len(properties)) + bytes(range(1, len(properties) + 1)))
    meta = box(b"pitm", bytes(4) + b"\0\1") + box(b"iinf", bytes(4) + b"\0\1" + infe)
    meta += box(b"iprp", box(b"ipco", b"".join(properties)) + ipma)

    def whole(offset: int) -> bytes:
        size = len(stream) if claimed is None else claimed
        iloc = box(b"iloc", bytes(4) + b"\x44\0\0\1" + struct.pack(">HHHII", 1, 0, 1, offset, size))
        return box(b"ftyp", b"heic\0\0\0\0heic") + box(b"meta", bytes(4) + meta + iloc + more) + box(b"mdat", stream)

    return whole(len(whole(0)) - len(stream))


ISPE = box(b"ispe", bytes(4) + struct.pack(">II", 64, 64))


def configured(unit: bytes) -> bytes:
    return box(b"hvcC", bytes(22) + b"\1" + b"\x21\0\1" + struct.pack(">H", len(unit)) + unit)


@pytest.mark.promise("P23")
@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31, 2**31), (1_000_000, 10)])
def test_a_size_in_the_properties_is_refused_before_the_decoder_sees_it(cat_image, width, height):
    with pytest.raises(TooLarge, match=f"{width} x {height}"):
        decode(claims(heic(cat_image), width, height))


@pytest.mark.promise("P23")
def test_a_size_in_the_pictures_own_header_is_refused_wherever_it_is():
    unit = sps(60_000, 60_000)
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(unit)]))
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(sps(64, 64))], stream=struct.pack(">I", len(unit)) + unit))


@pytest.mark.promise("P23")
@pytest.mark.parametrize("options", [{"chroma": 3}, {"layers": 1}, {"layers": 6}], ids=str)
def test_a_size_behind_what_few_headers_have_is_refused_too(options):
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE, configured(sps(60_000, 60_000, **options))]))


@pytest.mark.promise("P23")
def test_a_size_in_a_box_whose_own_length_takes_eight_bytes_is_refused():
    meta = box(
        b"meta", bytes(4) + box(b"pitm", bytes(4) + b"\0\1") + box(b"iprp", box(b"ipco", claims(ISPE, 60_000, 60_000)))
    )
    wide = struct.pack(">I4sQ", 1, b"meta", len(meta) + 8) + meta[8:]
    with pytest.raises(TooLarge, match="60000 x 60000"):
        decode(box(b"ftyp", b"heic\0\0\0\0heic") + wide)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (file_with([box(b"ispe", bytes(5))]), "one of its boxes ends too early"),
        (file_with([ISPE, configured(sps(64, 64)[:14])]), "the header of one of its pictures ends too early"),
        (box(b"ftyp", b"heic\0\0\0\0heic") + struct.pack(">I4s", 4, b"meta") + bytes(50), "it has no primary image"),
    ],
    ids=["a property", "a header", "a box shorter than its own head"],
)
def test_what_ends_too_early_is_broken(data, says):
    with pytest.raises(BrokenImage, match=says):
        decode(data)


@pytest.mark.parametrize(
    "behind", [b"\0" * 23, configured(sps(64, 64))[8:] + b"\0" * 9], ids=["no unit", "more behind its units"]
)
def test_a_configuration_is_read_to_the_end_of_its_units(behind):
    with pytest.raises(BrokenImage, match="HEIC file is broken"):
        decode(file_with([ISPE, box(b"hvcC", behind)]))


def located(method: int, offset: int, size: int) -> bytes:
    """Where the bytes of item 1 are, in a box that says how to find them."""
    return box(b"iloc", b"\1\0\0\0" + b"\x44\0\0\1" + struct.pack(">HHHHII", 1, method, 0, 1, offset, size))


@pytest.mark.promise("P23")
def test_a_size_in_a_picture_that_lies_in_the_metadata_itself_is_refused():
    unit = sps(60_000, 60_000)
    stream = struct.pack(">I", len(unit)) + unit
    with pytest.raises(TooLarge, match="59936 x 59936"):
        decode(file_with([ISPE], more=box(b"idat", stream) + located(1, 0, len(stream))))


def test_a_picture_whose_bytes_are_said_to_be_in_another_item_is_refused():
    with pytest.raises(BrokenImage, match="in another item"):
        decode(file_with([ISPE], more=located(2, 0, 10)))


@pytest.mark.promise("P23")
def test_a_picture_of_thousands_of_units_is_refused():
    with pytest.raises(BrokenImage, match="more than 4000 units"):
        decode(file_with([ISPE], stream=struct.pack(">I", 2) + b"\x02\x01" + (struct.pack(">I", 2) + b"\x02\x01") * 4000))


@pytest.mark.promise("P23")
def test_thousands_of_items_are_refused():
    infes = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + b"hvc1\0") for n in range(1, 4002))
    meta = box(b"pitm", bytes(4) + b"\0\1") + box(b"iinf", bytes(4) + struct.pack(">H", 4001) + infes)
    with pytest.raises(BrokenImage, match="more than 4000 items"):
        decode(box(b"ftyp", b"heic\0\0\0\0heic") + box(b"meta", bytes(4) + meta))


@pytest.mark.promise("P23")
def test_an_image_of_more_others_than_there_may_be_is_refused():
    references = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 1, 4001)))
    with pytest.raises(BrokenImage, match="made of 4001 others"):
        decode(file_with([ISPE], more=references))


@pytest.mark.promise("P23")
def test_an_image_of_more_tiles_than_it_has_pixels_is_refused(cat_image):
    grid = box(b"infe", b"\2\0\0\0\0\2\0\0grid\0")
    data = file_with([box(b"ispe", bytes(4) + struct.pack(">II", 5000, 5000)), configured(sps(64, 64))])
    references = box(b"iref", bytes(4) + box(b"dimg", struct.pack(">HH", 2, 100) + struct.pack(">H", 1) * 100))
    meta = data[data.index(b"meta") + 8 : data.index(b"mdat") - 4]
    meta = meta.replace(box(b"pitm", bytes(4) + b"\0\1"), box(b"pitm", bytes(4) + b"\0\2") + references + grid)
    with pytest.raises(TooLarge, match="2500000000 pixels"):
        decode(box(b"ftyp", b"heic\0\0\0\0heic") + box(b"meta", bytes(4) + meta))


@pytest.mark.promise("P23")
def test_an_image_that_is_made_of_another_and_so_on_is_refused():
    parts = b"".join(box(b"dimg", struct.pack(">HHH", n, 1, n + 1)) for n in range(1, 3000))
    infes = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + b"grid\0") for n in range(1, 3001))
    meta = box(b"pitm", bytes(4) + b"\0\1") + box(b"iinf", bytes(4) + struct.pack(">H", 3000) + infes)
    with pytest.raises(BrokenImage, match="made of others"):
        decode(box(b"ftyp", b"heic\0\0\0\0heic") + box(b"meta", bytes(4) + meta + box(b"iref", bytes(4) + parts)))


@pytest.mark.promise("P23")
def test_items_that_claim_the_file_again_and_again_are_refused():
    with pytest.raises(BrokenImage, match="claim 1000000 bytes"):
        decode(file_with([ISPE], claimed=1_000_000))


@pytest.mark.promise("P23")
def test_a_million_boxes_are_refused():
    data = box(b"ftyp", b"heic\0\0\0\0heic")
    with pytest.raises(BrokenImage, match="boxes"):
        decode(data + box(b"free", b"") * 1_000_000)
    with pytest.raises(BrokenImage, match="boxes"):
        decode(data + box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", box(b"free", b"") * 1_000_000))))


def test_boxes_inside_each_other_are_refused():
    data = b""
    for _ in range(3000):
        data = box(b"meta", bytes(4) + data)
    with pytest.raises((BrokenImage, UnsupportedImage)):
        decode(box(b"ftyp", b"heic\0\0\0\0heic") + data)


@pytest.mark.promise("P18")
@pytest.mark.parametrize("kind", [b"av01", b"unci", b"jpeg", b"mski"])
def test_a_picture_of_another_coding_is_refused_by_its_name(kind):
    with pytest.raises(UnsupportedImage, match=kind.decode()):
        decode(file_with([ISPE], kind))


def test_a_file_without_a_still_image_is_refused():
    with pytest.raises(UnsupportedImage, match="image sequence"):
        decode(box(b"ftyp", b"hevc\0\0\0\0hevc") + box(b"moov", bytes(100)))


def test_the_decoder_is_loaded_with_the_first_such_photo():
    code = "import sys, app.main, app.inference.decode as d; d.prepare(); print([m for m in sys.modules if 'heif' in m])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['app.inference.heif']"


def test_without_pi_heif_the_format_is_named(cat_image, monkeypatch):
    monkeypatch.setitem(sys.modules, "_pi_heif", None)
    with pytest.raises(UnsupportedImage, match="HEIC photo, and pi-heif"):
        decode(heic(cat_image.resize((32, 32))))


@pytest.mark.promise("P18")
def test_pillow_itself_does_not_learn_to_open_it(cat_image):
    data = heic(cat_image.resize((32, 32)))
    decode(data)
    assert "HEIF" not in Image.OPEN
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(data))
