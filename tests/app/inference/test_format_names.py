"""A file that is not read is refused by the name of its format."""

import struct

import numpy as np
import pytest
from PIL import Image

from app.errors import UnsupportedImage
from app.inference.decode import decode
from app.inference.format_names import name_of, raw_name
from tests.app.inference.hostile import tiff
from tests.conftest import encoded


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff\x0a" + bytes(range(40)), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl "), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 "), "JPEG 2000"),
        (b"%PDF-1.7\n%...", "PDF"),
        (box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41"), "MP4 video"),
        (box(b"ftyp", b"mp42\0\0\0\0"), "MP4 video"),
        (box(b"ftyp", b"qt  \0\0\2\0qt  "), "QuickTime video"),
        (box(b"wide", b"") + box(b"mdat", bytes(20)), "QuickTime video"),
        (box(b"ftyp", b"crx \0\0\0\1crx isom"), "camera RAW (Canon CR3)"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "camera RAW (Canon CR2)"),
        (b"FUJIFILMCCD-RAW 0201", "camera RAW (Fujifilm RAF)"),
        (tiff([(256, 4, 1, 64), (257, 4, 1, 64), (50706, 1, 4, 1)]), "camera RAW (DNG)"),
        (tiff([(256, 4, 1, 64), (257, 4, 1, 64), (50706, 1, 4, 1)], order=">"), "camera RAW (DNG)"),
        (tiff([(254, 4, 1, 1), (256, 4, 1, 64), (257, 4, 1, 64), (330, 4, 1, 999)]), "camera RAW"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<?xml version='1.0'?>\n<note/>", "XML"),
        (b"data:image/png;base64,iVBORw0KGgo=", "data URI"),
        (b'{"detail": "not found"}', "JSON"),
        (b"8BPS\0\1" + bytes(20), "Photoshop (PSD)"),
        (b"RIFF\x10\0\0\0AVI LIST", "AVI video"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "WebM video"),
        (b"P6 1 1 255 abc", "Netpbm (PPM, PGM, PBM)"),
        (b"PK\3\4" + bytes(30), "ZIP archive, or a document that is one"),
        (b"a line\nand another", "text"),
        ("déjà vu".encode(), "text"),
        (b"", "empty"),
        (bytes(64), "only zeros"),
        (bytes(range(128, 256)), "of an unknown format"),
    ],
)
def test_what_is_not_read_is_named_by_its_format(data, name):
    with pytest.raises(UnsupportedImage) as refusal:
        decode(data)
    assert str(refusal.value).startswith(f"The file of {len(data)} bytes is {name}; accepted formats are JPEG, ")


def test_a_scan_that_is_saved_as_a_tiff_is_no_camera_raw(cat_image):
    for options in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}):
        assert raw_name(encoded(cat_image, "TIFF", **options)) == ""
    assert raw_name(encoded(Image.fromarray(np.zeros((8, 8), np.uint16)), "TIFF")) == ""
    assert raw_name(b"II*\0") == raw_name(b"MM\0*\xff\xff\xff\xff") == ""


def test_a_directory_of_tags_that_ends_early_is_read_as_far_as_it_goes():
    data = tiff([(50706, 1, 4, 1)])
    assert raw_name(data[:4] + struct.pack("<I", 8) + b"\xff\xff" + data[10:]) == "camera RAW (DNG)"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (b"NIKON CORPORATION", "camera RAW (Nikon NEF)"),
        (b"SONY", "camera RAW (Sony ARW)"),
        (b"PENTAX", "camera RAW (Pentax PEF)"),
        (b"SAMSUNG", "camera RAW (Samsung SRW)"),
        (b"Hasselblad", "camera RAW (Hasselblad 3FR)"),
        (b"Leaf", "camera RAW"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sensors_values_are_named_by_their_cameras_make(make, name, order):
    def short(value: int) -> int:
        return value if order == "<" else value << 16

    for kind in (32803, 34892):
        data = tiff([(262, 3, 1, short(kind)), (271, 2, len(make), 8 + 2 + 2 * 12 + 4)], order=order) + make
        assert raw_name(data) == name
    assert raw_name(tiff([(262, 4, 1, 32803)], order=order)) == "camera RAW"
    assert raw_name(tiff([(262, 3, 1, short(2)), (271, 2, 4, 0)], order=order)) == ""


@pytest.mark.parametrize(("subfile", "raw"), [(0, ""), (1, "camera RAW"), (2, ""), (3, "camera RAW")])
def test_a_preview_with_the_photo_in_a_further_directory_is_a_raw(subfile, raw):
    assert raw_name(tiff([(254, 4, 1, subfile), (330, 4, 1, 999)])) == raw
    assert raw_name(tiff([(254, 4, 1, subfile)])) == ""
    assert raw_name(tiff([(330, 4, 1, 999)])) == ""


def test_tags_are_looked_for_in_their_directory_alone():
    dng = tiff([(50706, 1, 4, 1)])
    assert raw_name(dng[:4] + struct.pack("<I", 2**32 - len(dng) + 8) + dng[8:]) == "", "no offset counts from the end"
    two = tiff([(1, 1, 1, 1), (50706, 1, 4, 1)])
    assert raw_name(two[:8] + struct.pack("<H", 1) + two[10:]) == "", "the second is not counted"
    assert raw_name(tiff([(1, 4, 50706, 0)])) == "", "a tag begins every twelve bytes"


def test_as_many_tags_are_looked_at_as_that_and_a_cr2_is_of_one_order():
    assert raw_name(tiff([(1, 1, 1, 1)] * 1999 + [(50706, 1, 4, 1)])) == "camera RAW (DNG)"
    assert raw_name(tiff([(1, 1, 1, 1)] * 2000 + [(50706, 1, 4, 1)])) == ""
    assert raw_name(b"MM\0*\0\0\0\x10CR\2\0" + bytes(40)) == ""


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("\ufeffein Brief".encode("utf-16-le"), "text"),
        ("\ufeffein Brief".encode("utf-16-be"), "text"),
        ("\ufeff<SVG/>".encode("utf-16-le"), "SVG"),
        (b" \t\r\n<HTML>", "HTML"),
        (b"<head>", "HTML"),
        (b"<body>", "HTML"),
        (b"a <svg", "SVG"),
        (b"text <html>", "text"),
        (b"X<html>", "text"),
        (b"XX", "text"),
        (b"DATA:text/plain,a", "data URI"),
        (b"data:;base64", "data URI"),
        (b"data: nothing", "text"),
        (b"[1, 2]", "JSON"),
        (b"\x0c", "text"),
        (b"a page\x0canother", "text"),
        (b"a bell\x07", "of an unknown format"),
        ("é".encode() * 600, "text"),
        (b"a" + "é".encode() * 600, "text"),
        (b"caf\xe9", "text"),
        (b"caf\xe9 cr\xe8me", "of an unknown format"),
        (bytes(1024) + b"text", "only zeros"),
        (bytes(1023) + b"x", "of an unknown format"),
        (b"\0\0\0\x0aftypab", "MP4 video"),
        (b"\0\0\0\x0cftyp3gp5", "3GP video"),
        (b"\0\0\0\x0cftypmif2", "HEIF with another coding than HEVC or AV1"),
    ],
)
def test_texts_and_containers_are_named_by_how_they_begin(data, name):
    assert name_of(data) == name
