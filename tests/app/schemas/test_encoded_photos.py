"""Base64 as clients write it."""

import base64

import pytest

from app.errors import InvalidRequest
from app.schemas.encoded import base64_bytes
from tests.conftest import ROOT

CASE = ROOT.parent / "shared" / "cases" / "base64-newline-at-end.json"

DATA = bytes(range(256)) * 3 + b"\xfb\xff\xfe?"


def plain(data: bytes = DATA) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "text",
    [
        plain(),
        plain().rstrip("="),
        base64.encodebytes(DATA).decode(),
        base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        f"data:image/jpeg;base64,{plain()}",
        f"data:image/jpeg;name=a.jpg;base64,{base64.encodebytes(DATA).decode()}",
        f"  {plain()}\n",
    ],
)
def test_every_way_to_write_it_is_read(text):
    assert base64_bytes(text, "It") == DATA


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_every_length_is_read_without_padding(cut):
    assert base64_bytes(plain(DATA[:cut]).rstrip("="), "It") == DATA[:cut]


@pytest.mark.parametrize("text", ["%%%", "é", "A", "AB=C", "data:image/jpeg,AAAA", "data:;base64,!", "\x00AAA"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(InvalidRequest, match="It is not base64"):
        base64_bytes(text, "It")


@pytest.mark.skipif(not CASE.is_file(), reason="the cases of ../shared are not here")
def test_the_case_with_a_line_end_is_answered(client):
    body = CASE.read_bytes()
    answer = client.post("/classify", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
