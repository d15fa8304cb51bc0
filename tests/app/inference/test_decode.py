import contextlib
import io
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.errors import BrokenImage, Overloaded, TooLarge, UnsupportedImage
from app.inference.decode import FORMATS, decode
from app.inference.tensor import to_tensor
from tests.conftest import encoded


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_the_contract_is_decoded_to_the_same_picture(cat_image, kind):
    photo = decode(encoded(cat_image, kind))
    assert (photo.format, photo.image.mode, (photo.width, photo.height)) == (kind, "RGB", cat_image.size)
    difference = np.abs(np.asarray(photo.image, int) - np.asarray(cat_image, int)).mean()
    assert difference < (12 if kind == "GIF" else 6), "GIF keeps 256 colours, the lossy formats nearly all"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_would(cat_image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(cat_image, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    photo = decode(data)
    assert np.array_equal(np.asarray(photo.image), np.asarray(expected))
    assert (photo.width, photo.height) == expected.size


def test_a_broken_exif_block_counts_as_upright(cat_image):
    data = encoded(cat_image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\x00" * 20)
    assert decode(data).image.size == cat_image.size


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 5}, {"subsampling": 2}])
def test_jpeg_variants_are_read(cat_image, options):
    assert decode(encoded(cat_image, "JPEG", **options)).format == "JPEG"


def test_a_phones_jpeg_with_a_second_picture_behind_it_is_a_jpeg(cat_image):
    data = encoded(cat_image, "MPO", save_all=True, append_images=[Image.new("RGB", cat_image.size, "blue")])
    photo = decode(data)
    assert photo.format == "JPEG"
    assert np.abs(np.asarray(photo.image, int) - np.asarray(cat_image, int)).mean() < 6


def test_a_cmyk_jpeg_keeps_its_colours(cat_image):
    photo = decode(encoded(cat_image.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(np.asarray(photo.image, int) - np.asarray(cat_image, int)).mean() < 6


def test_a_grey_jpeg_becomes_three_equal_channels(cat_image):
    pixels = np.asarray(decode(encoded(cat_image.convert("L"), "JPEG")).image)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 1] == pixels[..., 2]).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind):
    deep = (np.arange(256, dtype=np.uint16) * 256 + 77).reshape(16, 16)
    photo = decode(encoded(Image.fromarray(deep), kind))
    assert np.array_equal(np.asarray(photo.image)[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize(("values", "expected"), [([0.0, 0.5, 1.0], [0, 127, 255]), ([0.0, 100.0, 300.0], [0, 100, 255])])
def test_a_float_tiff_is_read_from_either_range(values, expected):
    photo = decode(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert np.asarray(photo.image)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_lie_on_white(mode):
    image = Image.new(mode, (4, 4), (0,) * len(mode))
    assert np.asarray(decode(encoded(image, "PNG")).image).min() == 255


def test_half_transparent_black_is_grey():
    assert np.asarray(decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "PNG")).image)[0, 0, 0] == 127


def test_a_palette_with_a_transparent_colour_lies_on_white():
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 200, 10, 10] + [0] * 762)
    image.putdata([0, 1, 0])
    pixels = np.asarray(decode(encoded(image, "PNG", transparency=0)).image)
    assert pixels[0].tolist() == [[255, 255, 255], [200, 10, 10], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    photo = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    red, _, blue = np.asarray(photo.image)[4, 4]
    assert red > 200
    assert blue < 60


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_the_smallest_and_the_thinnest_photos_are_read(size):
    photo = decode(encoded(Image.new("RGB", size), "PNG"))
    assert (photo.width, photo.height) == size


@pytest.mark.promise("P25")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_was_cut_off_is_broken_not_unknown(cat_image, kind):
    data = encoded(cat_image, kind)
    with pytest.raises(BrokenImage, match=kind):
        decode(data[: len(data) // 3])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_ends_after_its_signature_is_broken_not_unknown(cat_image, kind):
    with pytest.raises(BrokenImage, match=kind):
        decode(encoded(cat_image, kind)[:16])


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HTTP/1.1", b"%PDF-1.7 ...", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P6 1 1 255 abc", b"\0" * 64],
)
def test_what_is_not_a_readable_image_is_unsupported(data):
    with pytest.raises(UnsupportedImage, match="accepted formats are JPEG"):
        decode(data)


@pytest.mark.promise("P18")
def test_formats_that_pillow_knows_and_the_contract_does_not_are_refused(cat_image):
    for kind in ("PPM", "ICO", "TGA", "PCX"):
        with pytest.raises(UnsupportedImage):
            decode(encoded(cat_image.resize((32, 32)), kind))


def test_a_photo_of_too_many_pixels_is_refused_with_both_numbers(cat_photo):
    with pytest.raises(TooLarge, match=r"451 x 300 = 135300 pixels; at most 1000 "):
        decode(cat_photo, max_pixels=1000)


def test_a_decompression_bomb_is_refused_by_its_header_alone():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"not even pixels") + chunk(b"IEND", b"")
    with pytest.raises(TooLarge, match="60000 x 60000"):
        decode(bomb)


def test_flipped_bytes_never_raise_anything_but_our_own_errors(cat_image):
    random = np.random.default_rng(11)
    small = cat_image.resize((48, 32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow rightly warns about many of these files
        for kind in FORMATS:
            intact = np.frombuffer(encoded(small, kind), np.uint8)
            for _ in range(150):
                damaged = intact.copy()
                damaged[random.integers(0, len(damaged), 6)] = random.integers(0, 256, 6)
                with contextlib.suppress(BrokenImage, UnsupportedImage, TooLarge):
                    assert decode(damaged.tobytes()).image.mode == "RGB"


def no_memory(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_for_which_there_is_no_memory_is_to_be_sent_again(cat_image, kind, monkeypatch):
    data = encoded(cat_image, kind)
    with monkeypatch.context() as patch:
        patch.setattr("app.inference.decode._on_white", no_memory)
        with pytest.raises(Overloaded, match=r"Not enough memory for a .*retry shortly"):
            decode(data)
    assert decode(data).format == kind


# Large JPEGs, which are decoded no larger than needed.


@pytest.fixture(scope="module")
def large(cat_image) -> Image.Image:
    return cat_image.resize((4 * cat_image.width, 4 * cat_image.height), Image.Resampling.LANCZOS)  # 1804 x 1200


@pytest.mark.parametrize(("side", "fraction"), [(None, 1), (400, 1), (300, 2), (150, 4), (60, 8), (10, 8)])
def test_a_jpeg_is_decoded_at_the_fraction_that_leaves_twice_the_side(large, side, fraction):
    photo = decode(encoded(large, "JPEG"), side=side)
    assert photo.image.size == (-(-large.width // fraction), -(-large.height // fraction))
    assert (photo.width, photo.height) == large.size, "it is described by its own size all the same"


def test_other_formats_are_decoded_whole(large):
    assert decode(encoded(large, "PNG"), side=60).image.size == large.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_on_its_side_is_described_upright(large, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = decode(encoded(large, "JPEG", exif=exif), side=100)
    upright = (1804, 1200) if orientation <= 4 else (1200, 1804)
    assert (photo.width, photo.height) == upright
    assert (photo.image.width > photo.image.height) == (upright[0] > upright[1])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_reduced_too(large, mode):
    photo = decode(encoded(large.convert(mode), "JPEG"), side=100)
    assert (photo.image.mode, photo.image.width) == ("RGB", 451)


def test_the_network_gets_the_same_from_a_reduced_jpeg_as_from_the_whole_one(large):
    data = encoded(large, "JPEG", quality=92)
    whole, reduced = (to_tensor(decode(data, side=side).image, 300, 300) for side in (None, 300))
    assert decode(data, side=300).image.width < large.width
    assert np.abs(whole - reduced).mean() < 1.5  # of 255


def test_the_pixel_limit_counts_what_is_decoded(large):
    photo = decode(encoded(large, "JPEG"), max_pixels=1_000_000, side=60)
    assert (photo.width, photo.height) == large.size
    assert photo.image.size == (226, 150)
    assert decode(encoded(large, "JPEG"), max_pixels=1_000_000).image.size == (902, 600), "the largest that fits"
    with pytest.raises(TooLarge, match="1804 x 1200"):
        decode(encoded(large, "JPEG"), max_pixels=200_000, side=60)
    with pytest.raises(TooLarge, match="1804 x 1200"):
        decode(encoded(large, "PNG"), max_pixels=1_000_000, side=60)


@pytest.mark.promise("P20")
def test_a_jpeg_of_several_scans_counts_with_the_coefficients_that_are_held(large):
    """Three bytes for each pixel where colours are halved each way, six where they are not."""
    halved, whole = (encoded(large, "JPEG", progressive=True, subsampling=kind) for kind in (2, 0))
    assert decode(halved, max_pixels=1_700_000, side=60).image.size == (226, 150)
    with pytest.raises(TooLarge, match="several scans"):
        decode(halved, max_pixels=1_500_000, side=60)
    with pytest.raises(TooLarge, match="several scans"):
        decode(whole, max_pixels=1_700_000, side=60)
    assert decode(whole, max_pixels=1804 * 1200, side=60).width == 1804, "as many pixels as of any other format"


def test_a_panorama_that_is_thin_is_reduced_until_it_fits(cat_image):
    thin = cat_image.resize((4000, 100))
    assert decode(encoded(thin, "JPEG"), max_pixels=200_000, side=60).image.size == (2000, 50)
