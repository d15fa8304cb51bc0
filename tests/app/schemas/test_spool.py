"""A form's files go to disk as they arrive: whole, by their names, and not at all where the form or the disk is no good."""

import asyncio
import errno
from pathlib import Path

import pytest
from starlette.requests import Request

from app.errors import InvalidRequest, TooLarge
from app.schemas.own import spool
from app.schemas.own.spool import Spool

BOUNDARY = b"d74496d66958873e"
END = b"--" + BOUNDARY + b"--\r\n"
LOST = {"type": "http.disconnect"}


def part(name: bytes, data: bytes, filename: bytes | None = b"a.jpg") -> bytes:
    named = b'; name="' + name + b'"' + (b"" if filename is None else b'; filename="' + filename + b'"')
    return b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data" + named + b"\r\n\r\n" + data + b"\r\n"


def headed(*lines: bytes) -> bytes:
    """A part of one byte with these headers."""
    return b"\r\n".join([b"--" + BOUNDARY, *lines, b"", b"x", b""])


def spooled(folder: Path, body: bytes, size: int = 10_000, ending: tuple[dict, ...] = (), **options: object) -> Spool:
    """What arrived in `folder` of a body that comes in pieces of `size` bytes, and then of `ending`."""
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in cut]
    waiting = [*messages, *(ending or ({"type": "http.request"},))]

    async def receive():
        return waiting.pop(0)

    headers = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]
    into = Spool(folder, ("network",), **{"max_bytes": 1_000_000, "check": lambda name: None} | options)
    asyncio.run(into.receive(Request({"type": "http", "headers": headers}, receive)))
    return into


PHOTO = bytes(range(256)) * 9 + b"\r\n--" + BOUNDARY[:-1] + b"\r"


@pytest.mark.parametrize("gathered", [1, 100, spool.PIECE_BYTES])
@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
def test_files_lie_in_the_folder_as_they_were_sent_however_the_body_is_cut(tmp_path, monkeypatch, size, gathered):
    monkeypatch.setattr(spool, "PIECE_BYTES", gathered)
    body = part(b"cat", PHOTO) + part(b"dog", b"second", b"b.jpg") + part(b"network", b"mine", None) + END
    into = spooled(tmp_path, body, size)
    assert [(file.name, file.filename, file.path.read_bytes()) for file in into.files] == [
        ("cat", "a.jpg", PHOTO),
        ("dog", "b.jpg", b"second"),
    ]
    assert into.values == {"network": "mine"}


def test_quotes_in_names_are_those_that_people_typed(tmp_path):
    [file] = spooled(tmp_path, part("%22tom%22 é".encode(), b"x", b"my %22cat%22.jpg") + END).files
    assert (file.name, file.filename) == ('"tom" é', 'my "cat".jpg')


def test_a_files_name_that_is_no_text_is_kept_as_well_as_it_can_be(tmp_path):
    [file] = spooled(tmp_path, part(b"cat", b"x", b"my\xffcat.jpg") + END).files
    assert file.filename == "my\ufffdcat.jpg"


@pytest.mark.parametrize("size", [1, 10_000])
def test_other_headers_of_a_part_change_nothing(tmp_path, size):
    disposition = b'CONTENT-Disposition: form-data; name="cat"; filename="a.jpg"'
    others = (b"Content-Type: image/jpeg", b"X: name=dog")
    body = headed(disposition, *others) + headed(*others, disposition) + END
    assert [(file.name, file.filename) for file in spooled(tmp_path, body, size).files] == [("cat", "a.jpg")] * 2


@pytest.mark.parametrize("header", [b"Content-Type: image/jpeg", b"Content-Disposition: form-data"])
def test_a_part_without_a_name_has_an_empty_one(tmp_path, header):
    """Whatever the part before it was called: whether there may be one is for `check` to say."""
    seen = []
    files = spooled(tmp_path, part(b"cat", b"x") + headed(header) + END, check=seen.append).files
    assert (seen, [(file.name, file.filename) for file in files]) == (["cat", ""], [("cat", "a.jpg"), ("", "")])


def test_the_last_piece_may_come_with_the_end(tmp_path):
    body = part(b"cat", PHOTO) + END
    [file] = spooled(tmp_path, body[:-40], ending=({"type": "http.request", "body": body[-40:], "more_body": False},)).files
    assert file.path.read_bytes() == PHOTO


@pytest.mark.parametrize(("filename", "kept"), [(None, 0), (b"", 0), (b"empty.jpg", 1)])
def test_an_empty_part_is_a_file_if_it_has_a_files_name(tmp_path, filename, kept):
    """Browsers send one for a field in which nothing was chosen."""
    assert len(spooled(tmp_path, part(b"cat", b"", filename) + END).files) == kept


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (part(b"\xff", b"x") + END, InvalidRequest, r"^The name of a part is not text in UTF-8\.$"),
        (part(b"network", b"\xff", None) + END, InvalidRequest, "The option network is not text in UTF-8"),
        (part(b"network", b"x" * 1025, None) + END, InvalidRequest, "The option network has more than 1024 bytes"),
        (part(b"cat", b"x" * 101, b"big.jpg") + END, TooLarge, "The photo big.jpg has more than 100 bytes"),
        (part(b"cat", b"x", b"1") + part(b"cat", b"x" * 101, b"") + END, TooLarge, "The photo number 2 has more than"),
        (part(b"cat", b"x" * 101, b"y" * 100) + END, TooLarge, f"The photo {'y' * 80} has more than"),
        (b"", InvalidRequest, r"^The request body cannot be read: the form ends in the middle of a part\.$"),
        (part(b"cat", b"x"), InvalidRequest, "ends in the middle of a part"),
        (b"no form at all", InvalidRequest, "cannot be read"),
    ],
)
def test_a_form_that_is_no_good_is_refused_with_the_reason(tmp_path, body, error, says):
    with pytest.raises(error, match=says):
        spooled(tmp_path, body, max_bytes=100)


def test_a_value_may_have_as_many_bytes_as_that_and_so_may_a_photo(tmp_path):
    into = spooled(tmp_path, part(b"network", b"x" * 1024, None) + part(b"cat", b"y" * 100) + END, max_bytes=100)
    assert into.values == {"network": "x" * 1024}
    assert into.files[0].path.stat().st_size == 100


@pytest.mark.parametrize(("filename", "error"), [(b"a.jpg", TooLarge), (None, InvalidRequest)])
def test_pieces_that_are_too_much_together_are_refused(tmp_path, monkeypatch, filename, error):
    monkeypatch.setattr(spool, "PIECE_BYTES", 1)
    body = part(b"cat" if filename else b"network", b"x" * 1025, filename) + END
    with pytest.raises(error, match="has more than 1024 bytes"):
        spooled(tmp_path, body, 100, max_bytes=1024)


@pytest.mark.parametrize("sent", [b"", part(b"cat", PHOTO)[:-200]])
def test_a_client_that_leaves_is_told_apart_from_one_that_has_finished(tmp_path, sent):
    with pytest.raises(InvalidRequest, match=r"^The request body cannot be read: it ended early\.$"):
        spooled(tmp_path, sent, ending=(LOST,))


def test_a_name_that_is_not_wanted_is_refused_before_its_file_is_made(tmp_path):
    def check(name: str) -> None:
        raise InvalidRequest(f"not {name}")

    with pytest.raises(InvalidRequest, match="not cat"):
        spooled(tmp_path, part(b"cat", b"x") + END, check=check)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10, 100_000], ids=["seen when it is closed", "seen when it is written"])
def test_a_disk_that_is_full_is_an_error_of_the_system_and_the_file_is_closed(tmp_path, size):
    (tmp_path / "0").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as full:
        spooled(tmp_path, part(b"cat", bytes(size)) + END)
    assert full.value.errno == errno.ENOSPC


def test_a_folder_that_is_gone_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        spooled(tmp_path / "gone", part(b"cat", b"x") + END)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (None, "The body has no content type; photos are sent as multipart/form-data."),
        (b"image/jpeg", "The body is image/jpeg; photos are sent as multipart/form-data."),
        (b"x" * 100, f"The body is {'x' * 80}; photos are sent as multipart/form-data."),
        (b"multipart/form-data", "The body is multipart/form-data; photos are sent as multipart/form-data."),
    ],
)
def test_a_body_that_is_no_form_is_refused_with_what_is_sent(tmp_path, kind, says):
    into = Spool(tmp_path, (), 100, lambda name: None)
    headers = [(b"content-type", kind)] if kind else []
    with pytest.raises(InvalidRequest) as refusal:
        asyncio.run(into.receive(Request({"type": "http", "headers": headers}, None)))
    assert str(refusal.value) == says
