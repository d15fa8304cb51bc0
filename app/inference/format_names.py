"""The first bytes of a file that is not read come in; the name of its format goes out, for people.

The names are those that people use: "JPEG XL", "MP4 video", "camera RAW (Canon CR2)".
"""

import re
import struct

UNREAD_SUFFIXES = {
    **dict.fromkeys((".jxl",), "JPEG XL"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c"), "JPEG 2000"),
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR"),
    ".dng": "camera RAW (DNG)",
    ".cr2": "camera RAW (Canon CR2)",
    ".cr3": "camera RAW (Canon CR3)",
    ".crw": "camera RAW (Canon CRW)",
    ".nef": "camera RAW (Nikon NEF)",
    ".nrw": "camera RAW (Nikon NRW)",
    ".arw": "camera RAW (Sony ARW)",
    ".raf": "camera RAW (Fujifilm RAF)",
    ".orf": "camera RAW (Olympus ORF)",
    ".rw2": "camera RAW (Panasonic RW2)",
    ".pef": "camera RAW (Pentax PEF)",
    ".srw": "camera RAW (Samsung SRW)",
    ".3fr": "camera RAW (Hasselblad 3FR)",
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    ".psd": "Photoshop (PSD)",
    ".psb": "Photoshop (PSB)",
    ".xcf": "GIMP (XCF)",
    ".eps": "PostScript (EPS)",
    ".pdf": "PDF",
    ".ico": "Windows icon (ICO)",
    ".tga": "TGA",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "Netpbm (PPM, PGM, PBM)"),
    ".exr": "OpenEXR",
    ".hdr": "Radiance HDR",
    ".dds": "DirectDraw surface (DDS)",
    ".qoi": "QOI",
    ".dcm": "DICOM",
    **dict.fromkeys((".mp4", ".m4v"), "MP4 video"),
    ".mov": "QuickTime video",
    **dict.fromkeys((".3gp", ".3g2"), "3GP video"),
    ".avi": "AVI video",
    ".mkv": "Matroska video",
    ".webm": "WebM video",
    **dict.fromkeys((".mpg", ".mpeg"), "MPEG video"),
    ".wmv": "Windows Media video",
}
"""Photos, pictures and videos that are not read, by the suffixes of their names."""

_BRANDS = {
    rb"qt  ": "QuickTime video",
    rb"3g[egps2].": "3GP video",
    rb"crx ": "camera RAW (Canon CR3)",
    rb"M4A |M4B ": "MP4 audio",
    rb"jp[2xm] ": "JPEG 2000",
    rb"jxl ": "JPEG XL",
    rb"mif1|msf1|mif2|miaf": "HEIF with another coding than HEVC or AV1",
    rb"....": "MP4 video",
}
"""Of the files that begin with an `ftyp` box, the first that fits."""

_BEGINNINGS = {
    rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51": "JPEG 2000",
    rb"II\xbc": "JPEG XR",
    rb"\s{0,64}%PDF-": "PDF",
    rb"(?s:....)(?:moov|mdat|wide|skip|free|pnot)": "QuickTime video",
    rb"FUJIFILMCCD-RAW": "camera RAW (Fujifilm RAF)",
    rb"II(?:RO|RS)|MMOR": "camera RAW (Olympus ORF)",
    rb"IIU\0": "camera RAW (Panasonic RW2)",
    rb"(?s:II....HEAPCCDR)": "camera RAW (Canon CRW)",
    rb"FOVb": "camera RAW (Sigma X3F)",
    rb"8BPS\0\x01": "Photoshop (PSD)",
    rb"8BPS\0\x02": "Photoshop (PSB)",
    rb"gimp xcf": "GIMP (XCF)",
    rb"%!PS|\xc5\xd0\xd3\xc6": "PostScript (EPS)",
    rb"\0\0\x01\0[^\0]": "Windows icon (ICO)",
    rb"\0\0\x02\0[^\0]\0": "Windows cursor (CUR)",
    rb"icns": "Apple icon (ICNS)",
    rb"P[1-7][\s#]|P[Ff]\s": "Netpbm (PPM, PGM, PBM)",
    rb"v/1\x01": "OpenEXR",
    rb"#\?(?:RADIANCE|RGBE)": "Radiance HDR",
    rb"DDS ": "DirectDraw surface (DDS)",
    rb"qoif": "QOI",
    rb"BPG\xfb": "BPG",
    rb"FLIF": "FLIF",
    rb"(?s:.{128}DICM)": "DICOM",
    rb"SIMPLE  =": "FITS",
    rb"\xd7\xcd\xc6\x9a": "Windows metafile (WMF)",
    rb"(?s:RIFF....AVI )": "AVI video",
    rb"(?s:RIFF....WAVE)": "WAV audio",
    rb"(?s:\x1aE\xdf\xa3.{0,64}webm)": "WebM video",
    rb"\x1aE\xdf\xa3": "Matroska video",
    rb"\0\0\x01[\xb3\xba]": "MPEG video",
    rb"G(?s:.{187})G": "MPEG transport stream video",
    rb"0&\xb2u\x8ef\xcf\x11": "Windows Media video",
    rb"FLV\x01": "Flash video",
    rb"OggS": "Ogg audio or video",
    rb"ID3|\xff[\xfb\xf3\xf2]": "MP3 audio",
    rb"fLaC": "FLAC audio",
    rb"PK\x03\x04|PK\x05\x06": "ZIP archive, or a document that is one",
    rb"\x1f\x8b": "gzip archive",
    rb"Rar!\x1a\x07": "RAR archive",
    rb"7z\xbc\xaf\x27\x1c": "7-Zip archive",
    rb"SQLite format 3": "SQLite database",
    rb"\x7fELF|MZ|\xcf\xfa\xed\xfe": "program",
    rb"version https://git-lfs": "pointer of Git LFS, whose file was not fetched",
}
_KNOWN = [(re.compile(beginning), name) for beginning, name in _BEGINNINGS.items()]
_KNOWN_BRANDS = [(re.compile(brand, re.DOTALL), name) for brand, name in _BRANDS.items()]
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def name_of(data: bytes) -> str:
    """The name of the format that a file's first kilobyte shows: `empty` for no bytes, `of an unknown format` if none."""
    head = data[:1024]
    if not head.strip(b"\0"):
        return "only zeros" if head else "empty"
    if head[4:8] == b"ftyp":
        return next((name for brand, name in _KNOWN_BRANDS if brand.match(head, 8)), "MP4 video")
    return next((name for beginning, name in _KNOWN if beginning.match(head)), "") or _text(head) or "of an unknown format"


def _text(head: bytes) -> str:
    """Which kind of text it is, or "" if it is none."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), "utf-8")
    text = head.decode(encoding, "replace").lstrip("\ufeff \t\r\n")
    if any(not (character.isprintable() or character in "\t\r\n\f\ufffd") for character in text):
        return ""
    if text.count("\ufffd") > 1:  # one may be a letter that the first kilobyte cuts through
        return ""
    lower = text.lower()
    if "<svg" in lower:
        return "SVG"
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "HTML"
    if lower.startswith("<?xml"):
        return "XML"
    if re.match(r"data:[\w/+.-]*[;,]", lower):
        return "data URI"
    return "JSON" if lower.startswith(("{", "[")) else "text"


_MAX_TAGS = 2_000
_SUBFILE, _PHOTOMETRIC, _MAKE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 262, 271, 330, 50706
_SENSOR_VALUES = (32803, 34892)
"""The photometric interpretations of a sensor's values: behind a colour filter, or linear."""
_MAKES = {b"NIK": "Nikon NEF", b"SON": "Sony ARW", b"PEN": "Pentax PEF", b"SAM": "Samsung SRW", b"Has": "Hasselblad 3FR"}


def raw_name(tiff: bytes) -> str:
    """Which camera RAW a file that begins like a TIFF is, or "". Its first directory may hold a preview, not the photo."""
    order = "<" if tiff[:2] == b"II" else ">"
    tags: dict[int, int] = {}
    try:
        if tiff[8:10] == b"CR" and tiff[:2] == b"II":
            return "camera RAW (Canon CR2)"
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        count = struct.unpack_from(order + "H", tiff, start)[0]
        for at in range(start + 2, start + 2 + 12 * min(count, _MAX_TAGS), 12):
            tag, kind, _, value = struct.unpack_from(order + "HHII", tiff, at)
            tags[tag] = struct.unpack_from(order + "H", tiff, at + 8)[0] if kind == 3 else value
    except struct.error:
        pass  # the directory ends here
    if _DNG_VERSION in tags:
        return "camera RAW (DNG)"
    if tags.get(_PHOTOMETRIC) in _SENSOR_VALUES or (tags.get(_SUBFILE, 0) & 1 and _SUB_DIRECTORIES in tags):
        make = tiff[tags.get(_MAKE, 0) :][:3]
        return f"camera RAW ({_MAKES[make]})" if make in _MAKES else "camera RAW"
    return ""
