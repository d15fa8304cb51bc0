"""Decoding in a process without rights: the same photos, and what a parser's bug can do there."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import BrokenImage, Overloaded, RequestError, TooLarge, UnsupportedImage
from app.inference import decode
from app.inference.cage import confinement, photos
from app.inference.decode import MAX_PIXELS
from app.settings import bare
from tests.conftest import ROOT, ready_client

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there are cages on Linux alone")

BAD = "tests.app.inference.cage.bad_child"
PIXELS = 1_000_000


def trouble(kind: str) -> bytes:
    """A TIFF by its first bytes, which makes BAD's decoder do that."""
    return b"II*\0" + kind.encode() + b"!" + bytes(100)


@pytest.fixture(scope="module")
def cage():
    from app.inference.cage.cage import Cage

    made = Cage(30, bare())
    yield made
    made.close()


@pytest.fixture
def bad():
    """A cage whose decoder has bugs."""
    from app.inference.cage.cage import Cage

    lost: list[None] = []
    made = Cage(60, bare(), BAD, lambda: lost.append(None))
    made.lost = lost
    yield made
    made.close()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


KINDS = {
    "JPEG": {"quality": 90},
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 60},
}


def converted(image: Image.Image, mode: str) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)


def can_be(kind: str, mode: str) -> bool:
    try:
        return bool(encoded(converted(Image.new("RGB", (8, 8)), mode), kind, **KINDS[kind]))
    except (OSError, ValueError):
        return False


MODES = ["RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "F"]
PAIRS = [(kind, mode) for kind in KINDS for mode in MODES if can_be(kind, mode)]


def both(cage, data: bytes, side: int | None = None) -> tuple[object, object]:
    """What a photo is in the cage and outside: its pixels and what is known of it, or its refusal."""
    found = []
    for decoder in (cage.decode, decode.decode):
        try:
            photo = decoder(data, MAX_PIXELS, side)
            known = (photo.width, photo.height, photo.format, photo.animated)
            found.append((known, photo.image.size, photo.image.tobytes()))
        except RequestError as error:
            found.append((type(error), str(error)))
    return tuple(found)


@pytest.mark.parametrize(("kind", "mode"), PAIRS)
def test_a_photo_is_the_same_in_a_cage(cage, cat_image, kind, mode):
    data = encoded(converted(cat_image, mode), kind, **KINDS[kind])
    inside, outside = both(cage, data, side=100)
    assert inside == outside


def test_a_heic_is_the_same_in_a_cage(cage, cat_image):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(cat_image).save(file, quality=80)
    for side in (None, 100):
        inside, outside = both(cage, file.getvalue(), side)
        assert inside == outside
        assert inside[0][2] == "HEIC"


@pytest.mark.parametrize(
    "data", [b"", b"text", b"II*\0" + bytes(50), b"\xff\xd8\xff" + bytes(50), bytes(8) + b"jP  ", b"GIF89a" + bytes(9)]
)
def test_a_photo_is_refused_in_a_cage_as_outside(cage, data):
    inside, outside = both(cage, data)
    assert inside == outside
    assert issubclass(inside[0], RequestError)


def test_a_photo_of_too_many_pixels_is_refused_in_a_cage(cage, cat_image):
    with pytest.raises(TooLarge, match="at most 100 are accepted"):
        cage.decode(encoded(cat_image, "TIFF"), 100, None)
    with pytest.raises(UnsupportedImage):
        cage.decode(b"%PDF-1.7", 100, None)


def test_one_process_decodes_photo_after_photo(cage, cat_image):
    data = encoded(cat_image, "TIFF")
    cage.decode(data, MAX_PIXELS, None)
    (process,) = cage._idle
    for _ in range(3):
        cage.decode(data, MAX_PIXELS, None)
    assert [one.pid for one in cage._idle] == [process.pid]


def test_a_photo_larger_than_the_shared_memory_gets_a_larger_one(cage, cat_image):
    data = encoded(cat_image, "TIFF")
    assert len(data) > 3 * 1000
    with pytest.raises(TooLarge):
        cage.decode(data, 1000, None)


def test_threads_decode_side_by_side(cage, cat_image):
    data, found = encoded(cat_image, "TIFF"), []
    threads = [
        threading.Thread(target=lambda: found.append(cage.decode(data, MAX_PIXELS, None).image.tobytes())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cat_image.convert("RGB").tobytes()] * 4


@pytest.mark.promise("P68")
def test_a_process_keeps_no_rights(cage, cat_image):
    cage.decode(encoded(cat_image, "TIFF"), MAX_PIXELS, None)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{cage._idle[0].pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2", "calls are filtered"
    for task in Path(f"/proc/{cage._idle[0].pid}/task").iterdir():
        assert "Seccomp:\t2" in (task / "status").read_text(), "in every thread"


@pytest.mark.promise("P68")
def test_a_process_knows_no_keys(monkeypatch, cat_image):
    from app.inference.cage.cage import Cage

    monkeypatch.setenv("CATSCOPE_API_KEYS", "secret-key")
    made = Cage(30, bare())
    try:
        made.decode(encoded(cat_image, "TIFF"), MAX_PIXELS, None)
        assert b"secret-key" not in Path(f"/proc/{made._idle[0].pid}/environ").read_bytes()
    finally:
        made.close()


@pytest.mark.promise("P68")
@pytest.mark.parametrize(
    "right", ["connect", "read_file", "write_file", "run_program", "fork", "stop_parent", "more_memory"]
)
def test_a_parser_that_was_taken_over_can_do_nothing(bad, right, cat_image):
    with pytest.raises(BrokenImage, match=r"PermissionError|ValueError"):
        bad.decode(trouble(right), PIXELS, None)
    assert bad.decode(encoded(cat_image, "TIFF"), PIXELS, None).width == cat_image.width, "and the process goes on"
    assert not Path("/tmp/from-the-cage").exists()


@pytest.mark.promise("P67")
@pytest.mark.parametrize(
    ("kind", "reason"), [("crash", "crashed"), ("spin", "took longer than 1 s"), ("lie", "made no sense")]
)
def test_a_parser_that_breaks_costs_one_photo(bad, kind, reason, cat_image):
    good = encoded(cat_image, "TIFF")
    assert bad.decode(good, PIXELS, None).width == cat_image.width
    before = bad._idle[0].pid
    bad.seconds = 1 if kind == "spin" else 60
    with pytest.raises(BrokenImage, match=reason):
        bad.decode(trouble(kind), PIXELS, None)
    bad.seconds = 60
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert bad.decode(good, PIXELS, None).width == cat_image.width
    assert len(bad.lost) == 1


@pytest.mark.promise("P67")
def test_memory_is_bounded(bad, cat_image):
    with pytest.raises(Overloaded, match="Not enough memory"):
        bad.decode(trouble("eat"), PIXELS, None)
    assert bad.decode(encoded(cat_image, "TIFF"), PIXELS, None).width == cat_image.width


@pytest.mark.promise("P67")
def test_a_process_that_is_killed_while_it_decodes_costs_one_photo(cat_image):
    from app.inference.cage.cage import Cage

    made = Cage(60, bare(), BAD)
    try:
        made.decode(encoded(cat_image, "TIFF"), PIXELS, None)
        pid = made._idle[0].pid
        killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(BrokenImage, match="crashed"):
            made.decode(trouble("spin"), PIXELS, None)
        killer.join()
        assert made.decode(encoded(cat_image, "TIFF"), PIXELS, None).width == cat_image.width
    finally:
        made.close()


def test_no_process_outlives_its_cage(cat_image):
    from app.inference.cage.cage import Cage

    made = Cage(30, bare())
    made.decode(encoded(cat_image, "TIFF"), MAX_PIXELS, None)
    pid = made._idle[0].pid
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_where_no_process_can_be_started_the_photo_is_refused(cat_image, caplog):
    from app.inference.cage.cage import Cage

    made = Cage(30, bare(), "app.inference.no_such_module")
    try:
        with pytest.raises(Overloaded, match="No process can be started"):
            made.decode(encoded(cat_image, "TIFF"), MAX_PIXELS, None)
        assert "no process can be started for decoding" in caplog.text
    finally:
        made.close()


def test_rare_formats_are_decoded_in_a_cage_and_common_ones_here(restored, cat_image):
    photos.prepare("rare", 30, bare())
    assert photos.decode(encoded(cat_image, "PNG")).format == "PNG"
    assert photos._cage._idle == []
    photo = photos.decode(encoded(cat_image, "TIFF"))
    assert len(photos._cage._idle) == 1
    outside = decode.decode(encoded(cat_image, "TIFF"))
    assert (photo.size, photo.sha256, photo.image.tobytes()) == (outside.size, outside.sha256, outside.image.tobytes())


def test_all_are_decoded_in_a_cage_on_request(restored, cat_image):
    photos.prepare("all", 30, bare())
    assert photos.decode(encoded(cat_image, "PNG")).format == "PNG"
    assert len(photos._cage._idle) == 1
    cage = photos._cage
    photos.prepare("all", 30, bare())
    assert photos._cage is cage, "a reload keeps it"
    photos.prepare("none")
    assert photos._cage is None


@pytest.mark.promise("P68")
def test_a_process_without_a_filter_says_so_and_can_still_open_nothing():
    code = """
import sys
sys.modules["seccompy"] = None
from app.inference.cage.confinement import confine
print(confine(2**30))
try:
    open("/etc/hostname")
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    said, opened = done.stdout.splitlines()
    assert said.startswith("system calls are not filtered")
    assert opened == "Too many open files"


def test_a_process_that_keeps_some_rights_says_so_and_decodes(cat_image, caplog):
    from app.inference.cage.cage import Cage

    made = Cage(30, bare() | {"CHILD": "unfiltered"}, BAD)
    try:
        assert made.decode(encoded(cat_image, "TIFF"), PIXELS, None).format == "TIFF"
    finally:
        made.close()
    assert "keeps some rights: system calls are not filtered" in caplog.text


def test_every_call_that_stays_allowed_has_a_number_on_both_processors():
    from seccompy import syscalls

    for known in (syscalls.X86_64_SYSCALLS, syscalls.AARCH64_SYSCALLS):
        assert {*confinement.ALLOWED, "clone", "clone3", "newfstatat"} <= known.keys()


@pytest.mark.promise("P67")
def test_other_requests_do_not_notice(restored, model_dir, cat_image, cat_photo):
    """One photo kills its decoder, one makes it spin, one eats memory; the others are answered meanwhile."""
    from app.inference.cage.cage import Cage

    with ready_client(model_dir, threads=4, max_pixels=PIXELS, deadline_s=60) as client:
        photos.use(Cage(8, bare(), BAD))
        post = lambda data: client.post("/predict?feature_maps=none", files={"file": ("x", data)})  # noqa: E731
        good = encoded(cat_image, "TIFF")
        expected = post(good).json()["probabilities"]
        answers: dict[str, object] = {}
        threads = [
            threading.Thread(target=lambda kind=kind: answers.__setitem__(kind, post(trouble(kind))))
            for kind in ("crash", "spin", "eat")
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert post(cat_photo).status_code == 200
            assert post(good).json()["probabilities"] == expected
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        assert {kind: answer.status_code for kind, answer in answers.items()} == {"crash": 422, "spin": 422, "eat": 503}
        for answer in answers.values():
            assert answer.headers["content-type"] == "application/problem+json"
