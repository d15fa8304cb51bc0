"""HEIC photos, made here with pillow-heif's encoder."""

import io
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from app.errors import TooLarge, UnsupportedImage
from app.inference.decode import decode
from tests.app.inference.heics import box
from tests.conftest import ROOT, encoded

CASES = ROOT.parent / "shared" / "cases"


def heic(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "HEIC", **options)


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
