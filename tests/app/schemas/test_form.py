"""Forms as clients send them, whole and in pieces, and how malformed ones are refused."""

import asyncio
import contextlib

import pytest
from starlette.requests import Request

from app.errors import InvalidRequest
from app.schemas import form

BOUNDARY = b"------------------------d74496d66958873e"


def part(name: bytes, data: bytes, more: bytes = b"") -> bytes:
    return (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + data + b"\r\n"
    )


END = b"--" + BOUNDARY + b"--\r\n"


def read(
    body: bytes, pieces: int = 1, kind: bytes = b"multipart/form-data; boundary=" + BOUNDARY, disconnected: bool = False
) -> bytes:
    size = max(1, -(-len(body) // pieces))
    cut = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": at < len(cut) - 1} for at, piece in enumerate(cut)]
    if disconnected:
        messages[-1:] = [{"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    return asyncio.run(form.file(Request({"type": "http", "headers": [(b"content-type", kind)]}, receive)))


@pytest.mark.parametrize("pieces", [1, 2, 7, 10_000])
@pytest.mark.parametrize("data", [b"", b"\r\n", b"photo", bytes(range(256)) * 9, b"\r\n--" + BOUNDARY[:-1], b"--\r\n" * 50])
def test_a_file_comes_out_as_it_went_in_however_its_body_is_cut(data, pieces):
    body = (
        part(b"other", b"1") + part(b"file", data, b'; filename="a.jpg"\r\nContent-Type: image/jpeg') + part(b"last", b"2")
    )
    assert read(body + END, pieces) == data


def test_a_file_needs_neither_a_file_name_nor_a_content_type():
    assert read(part(b"file", b"photo") + END) == b"photo"


def test_the_last_of_two_files_of_that_name_counts():
    assert read(part(b"file", b"one") + part(b"file", b"two") + END) == b"two"


def test_what_follows_the_end_of_the_form_is_ignored():
    assert read(part(b"file", b"photo") + END + b"epilogue" * 100) == b"photo"


def test_a_name_may_be_a_bare_word_and_headers_may_be_written_in_capitals():
    body = b"--" + BOUNDARY + b"\r\nCONTENT-DISPOSITION: form-data; name=file\r\n\r\nphoto\r\n" + END
    assert read(body) == b"photo"


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"^The request body cannot be read: the form ends in the middle of a part\.$"),
        (b"junk", "cannot be read"),
        (part(b"file", b"photo"), "ends in the middle"),
        (part(b"file", b"photo") + END[:-4], "ends in the middle"),
        (part(b"photo", b"photo") + END, "part file is missing"),
        (END, "part file is missing"),
        (b"--" + BOUNDARY + b"\r\nno header at all\r\n\r\nphoto\r\n" + END, "cannot be read"),
        (b"--" + BOUNDARY + b"\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n" + END, "cannot be read"),
        (b"--" + BOUNDARY + b"\r\nA: " + b"b" * 100_000 + b"\r\n\r\n" + END, "cannot be read"),
        (part(b"x", b"1") * 101 + END, "more than 100 parts"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused_with_the_reason(body, message):
    with pytest.raises(InvalidRequest, match=message):
        read(body)


@pytest.mark.promise("P8")
def test_a_hundred_parts_are_read():
    assert read(part(b"x", b"1") * 99 + part(b"file", b"photo") + END) == b"photo"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (b"", r"missing\. There is no body with a content type; a photo is sent as multipart/form-data\."),
        (b"x" * 100, f"The body is {'x' * 80};"),
        (b"image/jpeg", "The body is image/jpeg"),
        (b"application/x-www-form-urlencoded", "multipart/form-data"),
        (b"multipart/form-data", r"^The request body cannot be read: the content type names no boundary\.$"),
        (b"multipart/form-data; boundary=" + b"x" * 5000, "cannot be read"),
    ],
)
def test_a_body_of_another_kind_is_refused_with_what_is_accepted(kind, message):
    with pytest.raises(InvalidRequest, match=message):
        read(part(b"file", b"photo") + END, kind=kind)


def test_a_body_that_ends_early_is_refused_with_the_bytes_received():
    with pytest.raises(InvalidRequest, match=r"ended after \d+ bytes"):
        read(part(b"file", b"photo" * 100) + END, pieces=3, disconnected=True)


def request_of(kind: bytes, *messages: dict, reading: form.Reading | None = None) -> Request:
    """A request whose body arrives in these messages."""
    waiting = list(messages)

    async def receive():
        return waiting.pop(0)

    scope = {"type": "http", "headers": [(b"content-type", kind)]} | ({form.READING: reading} if reading else {})
    return Request(scope, receive)


FORM = b"multipart/form-data; boundary=" + BOUNDARY


def test_as_many_files_are_read_as_may_be_and_no_more():
    body = {"type": "http.request", "body": part(b"files", b"one") + part(b"files", b"two") + END}
    assert asyncio.run(form.files(request_of(FORM, body), "files", 2)) == [b"one", b"two"]
    with pytest.raises(InvalidRequest, match="The form has 2 parts files; at most 1 are accepted"):
        asyncio.run(form.files(request_of(FORM, body), "files", 1))


OPTION = {"type": "http.request", "body": part(b"label", b"cat") + END}


def test_an_option_in_the_form_counts_before_the_photo_is_asked_for():
    with pytest.raises(form.OptionsInForm):
        asyncio.run(form.take_options(request_of(FORM, OPTION, reading=form.Reading({"label"}))))


@pytest.mark.parametrize("body", [part(b"file", b"photo") + END, END])
def test_a_form_without_options_changes_nothing_before_the_photo_is_asked_for(body):
    reading = form.Reading({"label"})
    asyncio.run(form.take_options(request_of(FORM, {"type": "http.request", "body": body}, reading=reading)))
    assert reading.options == []


@pytest.mark.parametrize("kind", [b"", b"image/png"])
def test_what_is_no_form_has_no_options_and_is_not_read(kind):
    reading = form.Reading({"label"})
    assert asyncio.run(form.options(request_of(kind, reading=reading))) == []
    assert reading.begun is False


@pytest.mark.parametrize("body", [part(b"file", b"photo") + END, b"no form"])
def test_a_form_that_was_asked_for_has_begun_even_where_it_is_none(body):
    reading = form.Reading({"label"})
    with contextlib.suppress(InvalidRequest):
        asyncio.run(form.options(request_of(FORM, {"type": "http.request", "body": body}, reading=reading)))
    assert reading.begun is True
    assert (reading.parts is None) == (body == b"no form")


def test_options_that_were_taken_are_not_taken_again():
    reading = form.Reading({"label"})
    reading.options_taken = True
    asyncio.run(form.take_options(request_of(FORM, OPTION, reading=reading)))
    assert reading.parts is None


def test_an_option_that_is_no_text_is_refused():
    body = {"type": "http.request", "body": part(b"label", b"\xff") + END}
    with pytest.raises(InvalidRequest, match="The option label is not text in UTF-8"):
        asyncio.run(form.options(request_of(FORM, body, reading=form.Reading({"label"}))))


@pytest.mark.parametrize(("name", "most"), [("label", form.MAX_OPTION_BYTES), ("edits", form.LONG_OPTIONS["edits"])])
def test_an_option_has_a_longest_value(name, most):
    def options(size: int) -> form.Reading:
        reading = form.Reading({name})
        body = {"type": "http.request", "body": part(name.encode(), b"x" * size) + END}
        asyncio.run(form.options(request_of(FORM, body, reading=reading)))
        return reading

    known = options(most)
    assert len(known.long_options.get(name) or dict(known.options)[name]) == most
    with pytest.raises(InvalidRequest, match=f"The option {name} has {most + 1} bytes; at most {most} are accepted"):
        options(most + 1)


def test_an_unknown_part_beside_the_photo_is_refused_by_its_name():
    """`latel` is near `label`; a name need be no text."""
    for name, says in ((b"latel", "part or option 'latel'"), (b"\xff", "part or option '\ufffd'")):
        body = {"type": "http.request", "body": part(name, b"x") + part(b"file", b"photo") + END}
        with pytest.raises(InvalidRequest, match=f"{says}.*label"):
            asyncio.run(form.file(request_of(FORM, body, reading=form.Reading({"label"}))))


def test_a_long_option_does_not_end_the_options():
    body = {"type": "http.request", "body": part(b"edits", b"[]") + part(b"label", b"cat") + END}
    reading = form.Reading({"label", "edits"})
    assert asyncio.run(form.options(request_of(FORM, body, reading=reading))) == [("label", "cat")]
    assert reading.long_options == {"edits": b"[]"}


def test_a_long_option_is_asked_for_after_the_photo():
    body = {"type": "http.request", "body": part(b"edits", b"[]") + part(b"file", b"photo") + END}
    request = request_of(FORM, body, reading=form.Reading({"edits"}))
    assert asyncio.run(form.file(request)) == b"photo"
    assert form.long_option(request, "edits") == b"[]"
    assert form.long_option(request, "label") is None


def test_a_body_in_one_message_is_not_copied():
    body = bytes(100)

    async def receive():
        return {"type": "http.request", "body": body}

    assert asyncio.run(form.whole(receive)) is body


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "The form has no parts."),
        ([b"a"], "The form has the part 'a'."),
        ([b"a", b"b"], "The form has the parts 'a', 'b'."),
        ([b"%d" % n for n in range(5)], "The form has the parts '0', '1', '2', '3', '4'."),
        ([b"%d" % n for n in range(7)], "The form has the parts '0', '1', '2', '3', '4' and 2 more."),
        ([b"x" * 41], f"The form has the part '{'x' * 40}'."),
        ([b"\xff"], "The form has the part '\ufffd'."),
    ],
)
def test_a_form_without_the_photo_is_told_what_it_has(names, says):
    with pytest.raises(InvalidRequest) as refusal:
        read(b"".join(part(name, b"1") for name in names) + END)
    assert str(refusal.value) == f"The part file is missing. {says}"


def test_a_part_without_a_name_is_called_nothing():
    unnamed = b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n\r\nphoto\r\n"
    bare = b"--" + BOUNDARY + b"\r\nX: y\r\n\r\nphoto\r\n"
    empty = b"--" + BOUNDARY + b"\r\nX: y\r\nContent-Disposition:\r\n\r\nphoto\r\n"
    for body in (unnamed, bare, empty):
        with pytest.raises(InvalidRequest, match="The form has the part ''"):
            read(body + END)


def test_what_a_part_had_is_not_taken_for_the_next_ones():
    """The second has neither a name nor content of its own."""
    bare = b"--" + BOUNDARY + b"\r\nX: y\r\n\r\n\r\n"
    request = request_of(FORM, {"type": "http.request", "body": part(b"file", b"photo") + bare + END})
    assert asyncio.run(form.files(request, "file", 9)) == [b"photo"]
    assert read(part(b"x", b"long content") + part(b"file", b"") + END) == b""


@pytest.mark.parametrize("last", [{"type": "http.request"}, {"type": "http.request", "body": b"", "more_body": False}])
def test_messages_without_bytes_belong_to_the_body(last):
    body = part(b"file", b"photo") + END
    messages = ({"type": "http.request", "more_body": True}, {"type": "http.request", "body": body, "more_body": True}, last)
    assert asyncio.run(form.file(request_of(FORM, *messages))) == b"photo"
    with pytest.raises(InvalidRequest, match="ends in the middle"):
        asyncio.run(form.file(request_of(FORM, last)))


def test_a_client_that_leaves_at_once_sent_nothing():
    with pytest.raises(InvalidRequest, match="it ended after 0 bytes"):
        asyncio.run(form.file(request_of(FORM, {"type": "http.disconnect"})))


def test_the_description_of_a_form_says_what_it_takes():
    def described(schema: dict) -> dict:
        return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}

    kind = {"type": "object", "additionalProperties": False}
    one = {"required": ["file"], "properties": {"file": form.BINARY | {"description": "a photo"}}}
    assert form.form("file", "a photo") == described(kind | one)
    several = {"type": "array", "items": form.BINARY, "minItems": 1, "description": "photos"}
    assert form.form("files", "photos", many=True) == described(
        kind | {"required": ["files"], "properties": {"files": several}}
    )


def test_the_body_is_not_kept_once_the_photo_is_taken_out():
    """It would be in memory twice while it waits for a thread."""
    reading = form.Reading(())
    body = part(b"file", b"photo") + END
    scope = {
        "type": "http",
        "headers": [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)],
        form.READING: reading,
    }

    async def receive():
        return {"type": "http.request", "body": body}

    assert asyncio.run(form.file(Request(scope, receive))) == b"photo"
    assert not reading.body
