"""What is checked before a request is read, on an application of a few lines: its size, its coding, its room, its sender."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from app.capacity import MAX_DISCARDED_BYTES
from app.errors import Overloaded
from app.middleware.admission import Admission
from app.middleware.api_keys import ApiKeys
from app.settings import Settings

BYTES = 100
"""The most that a body may have here."""


async def echo(scope, receive, send) -> None:
    """Answers with the number of bytes received; it fails, as applications do, where a client leaves."""
    size, more = 0, scope["method"] == "POST"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


def asked(*pieces: bytes, app=echo, method: str = "POST", path: str = "/predict", admission=None, **headers: str):
    """The status, the headers and the body of the answer to a request whose body comes in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces[:-1]]
    messages += [{"type": "http.request", "body": pieces[-1]} if pieces else {"type": "http.disconnect"}]
    sent: list[dict] = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": named,
        "client": ("192.0.2.1", 1),
        "query_string": b"",
    }
    asyncio.run((admission or admitting(app))(scope, receive, send))
    start, *rest = sent
    return start["status"], dict(start["headers"]), b"".join(message["body"] for message in rest)


def admitting(app=echo, **options: object) -> Admission:
    known = ("check_room", "clock")
    settings = Settings(max_bytes=BYTES, **{name: value for name, value in options.items() if name not in known})
    rest = {name: value for name, value in options.items() if name in known}
    return Admission(app, settings, ApiKeys(settings), **rest)


@pytest.mark.parametrize("pieces", [(b"x" * BYTES,), (b"x" * 60, b"x" * 40), (b"x",) * BYTES, (b"",)])
def test_a_body_within_the_limit_passes_however_it_arrives(pieces):
    assert asked(*pieces) == (200, {}, b"%d" % sum(map(len, pieces)))


def answering(scope, receive, send):
    """An application that answers a client who left as any other."""

    async def quiet():
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b"it ended early"})

    return quiet()


@pytest.mark.parametrize("app", [echo, answering], ids=["that fails", "that answers"])
def test_a_body_that_grows_too_large_is_413_whatever_the_application_makes_of_its_end(app):
    status, headers, body = asked(b"x" * 60, b"x" * 41, app=app)
    assert (status, headers[b"connection"]) == (413, b"close")
    assert b"has already sent 101 bytes; at most 100 are accepted" in body


def test_an_answer_that_has_begun_is_not_taken_back_by_what_still_arrives():
    async def eager(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert [(await receive())["type"] for _ in range(2)] == ["http.request"] * 2
        await send({"type": "http.response.body", "body": b"done"})

    assert asked(b"x" * 60, b"x" * 60, app=eager) == (200, {}, b"done")


def test_an_application_that_fails_by_itself_fails():
    def broken(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asked(b"x", app=broken)


@pytest.mark.parametrize(
    ("length", "status"), [("100", 200), ("101", 413), ("1" * 400, 413), ("-5", 200), ("five", 200), ("", 200)]
)
def test_an_announced_length_above_the_limit_is_413(length, status):
    assert asked(b"x", content_length=length)[0] == status


def test_a_length_in_other_digits_is_the_same_number():
    assert asked(b"x", content_length="100")[0] == 200


@pytest.mark.parametrize(
    ("coding", "status"), [("", 200), ("identity", 200), (" Identity ", 200), ("gzip", 415), ("br, identity", 415)]
)
def test_a_compressed_body_is_415(coding, status):
    assert asked(b"x", content_encoding=coding)[0] == status


def test_clients_of_the_open_inference_protocol_find_a_refusal_where_they_look():
    for headers, pieces in (({"content_length": "101"}, (b"x",)), ({}, (b"x" * 101,))):
        assert b'"error":"The request' in asked(*pieces, path="/v2/models/cat/infer", **headers)[2]
        assert b'"error"' not in asked(*pieces, **headers)[2]


def test_an_unknown_coding_is_named_but_not_at_length():
    body = asked(b"x", content_encoding="z" * 1000)[2]
    assert b"'" + b"z" * 40 + b"'" in body


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ({}, False),
        ({"content_length": "100000"}, False),
        ({"content_length": "9999999"}, True),
        ({"transfer_encoding": "chunked"}, True),
    ],
)
def test_a_refusal_before_a_long_body_has_arrived_closes_the_connection(headers, closes):
    admission = admitting(api_keys=("alpha",))
    assert (asked(b"x", admission=admission, **headers)[1].get(b"connection") == b"close") == closes


def test_an_answer_after_a_long_body_has_arrived_keeps_the_connection():
    assert b"connection" not in asked(b"x", b"", transfer_encoding="chunked")[1]


def full() -> None:
    raise Overloaded("full")


@pytest.mark.parametrize(("method", "status"), [("POST", 503), ("GET", 200), ("DELETE", 200)])
def test_room_is_needed_for_what_is_sent_alone(method, status):
    assert asked(b"", method=method, admission=admitting(check_room=full))[0] == status


@pytest.mark.parametrize(
    ("headers", "origins", "status"),
    [
        ({}, (), 200),
        ({"origin": "http://here"}, (), 200),
        ({"origin": "https://here"}, (), 200),
        ({"origin": "http://there"}, (), 403),
        ({"origin": "null"}, (), 403),
        ({"origin": "http://there://here"}, (), 403),
        ({"origin": "http://there"}, ("http://there",), 200),
        ({"origin": "http://there"}, ("*",), 200),
        ({"origin": "http://there"}, ("http://elsewhere",), 403),
        ({"sec_fetch_site": "same-origin", "origin": "http://proxied"}, (), 200),
        ({"sec_fetch_site": "none"}, (), 200),
        ({"sec_fetch_site": "same-site", "origin": "http://here"}, (), 403),
        ({"sec_fetch_site": "cross-site"}, (), 403),
        ({"sec_fetch_site": "cross-site", "origin": "http://there"}, ("http://there",), 200),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/teach"), ("DELETE", "/models/mine"), ("POST", "/corrections")])
def test_a_page_of_another_site_changes_nothing_unless_it_is_named(method, path, headers, origins, status):
    admission = admitting(cors_origins=origins)
    assert asked(b"", method=method, path=path, admission=admission, host="here", **headers)[0] == status


@pytest.mark.parametrize(("method", "path"), [("GET", "/teach"), ("POST", "/predict"), ("GET", "/models")])
def test_a_page_of_another_site_may_ask(method, path):
    assert asked(b"", method=method, path=path, sec_fetch_site="cross-site")[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x_api_key": "beta"}, 401),
        ({"x_api_key": "alpha"}, 200),
        ({"authorization": "Bearer alpha"}, 200),
        ({"authorization": "BEARER alpha"}, 200),
        ({"authorization": "Basic alpha"}, 401),
        ({"authorization": "alpha"}, 401),
        ({"x_api_key": "", "authorization": "Bearer alpha"}, 200),
        ({"x_api_key": "beta", "authorization": "Bearer alpha"}, 401),
    ],
)
def test_a_key_is_asked_for_where_some_are_configured(headers, status):
    assert asked(b"", admission=admitting(api_keys=("alpha",)), **headers)[0] == status


def test_a_key_may_have_a_space():
    assert asked(b"", admission=admitting(api_keys=("alpha beta",)), authorization="Bearer alpha beta")[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/health/live", 200),
        ("/metrics", 200),
        ("/docs", 200),
        ("/web/main.js", 200),
        ("/models", 401),
        ("//", 401),
    ],
)
def test_some_paths_are_open(path, status):
    assert asked(b"", method="GET", path=path, admission=admitting(api_keys=("alpha",)))[0] == status


@pytest.mark.parametrize(("headers", "what"), [({}, "No key was sent"), ({"x_api_key": "beta"}, "The key is not valid")])
def test_one_without_a_key_is_told_where_to_send_it(headers, what):
    body = asked(b"", admission=admitting(api_keys=("alpha",)), **headers)[2]
    assert f'"{what}; send a valid key in the header X-API-Key or as Authorization: Bearer."'.encode() in body


def test_a_page_of_another_site_is_told_what_would_let_it():
    body = asked(b"", path="/teach", sec_fetch_site="cross-site")[2]
    says = "A page of another site cannot teach, correct or delete here; CATSCOPE_CORS_ORIGINS names exceptions."
    assert f'"{says}"'.encode() in body


def test_a_length_that_is_too_large_is_told_with_the_limit():
    assert b"The request announces 101 bytes; at most 100 are accepted." in asked(b"x", content_length="101")[2]


def test_photos_to_be_taught_may_be_longer_together():
    admission = admitting(max_teach_bytes=200)
    for path, method, status in (("/teach", "POST", 200), ("/corrections", "POST", 413), ("/teach", "DELETE", 413)):
        assert asked(b"x", path=path, method=method, content_length="200", admission=admission)[0] == status
    assert asked(b"x", path="/teach", content_length="201", admission=admission)[0] == 413


def test_a_body_of_just_so_many_bytes_is_not_waited_for():
    admission = admitting(api_keys=("alpha",))
    closes = [
        b"connection" in asked(b"x", admission=admission, content_length=str(MAX_DISCARDED_BYTES + more))[1]
        for more in (0, 1)
    ]
    assert closes == [False, True]


async def reading(scope, receive, send):
    """An application that answers after it has read so many messages, and tells what they were."""
    seen = [(await receive())["type"] for _ in range(int(scope["path"].rpartition("/")[2]))]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": " ".join(seen).encode()})


@pytest.mark.parametrize(("messages", "closes"), [(1, True), (2, False)])
def test_the_connection_is_closed_with_an_answer_before_the_end_of_a_long_body(messages, closes):
    answer = asked(b"x", b"y", app=reading, path=f"/{messages}", transfer_encoding="chunked")
    assert (b"connection" in answer[1]) == closes


def test_an_application_sees_the_client_leave_where_the_body_is_cut_off():
    told = []

    async def app(scope, receive, send):
        told.append(await receive())

    asked(b"x" * 101, app=app)
    assert told == [{"type": "http.disconnect"}]


def client(address: tuple | None, admission: Admission, **headers: str) -> int:
    """The status of the answer to a client of that address."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/models", "headers": named, "client": address, "query_string": b""}
    asyncio.run(admission(scope, None, send))
    return sent[0]["status"]


def test_each_address_has_a_limit_of_its_own_and_so_have_those_without_one():
    admission = admitting(rate_limit=1, clock=lambda: 0.0)
    clients = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 2), None, None]
    assert [client(address, admission) for address in clients] == [200, 200, 429, 200, 429]


def test_each_key_has_a_limit_of_its_own_wherever_it_comes_from():
    admission = admitting(rate_limit=1, clock=lambda: 0.0, api_keys=("alpha", "beta"))
    keys = [("192.0.2.1", "alpha"), ("192.0.2.1", "beta"), ("192.0.2.2", "alpha")]
    assert [client((address, 1), admission, x_api_key=key) for address, key in keys] == [200, 200, 429]


def test_the_clock_that_is_given_refills():
    now = [0.0]
    admission = admitting(rate_limit=1, clock=lambda: now[0])
    assert [client(("192.0.2.1", 1), admission) for _ in range(2)] == [200, 429]
    now[0] = 60.0
    assert client(("192.0.2.1", 1), admission) == 200


def test_clients_are_told_apart_by_their_address_where_there_are_no_keys_and_open_paths_do_not_count():
    admission = admitting(rate_limit=1, clock=lambda: 0.0)
    statuses = [asked(b"", method="GET", path=path, admission=admission)[0] for path in ("/", "/models", "/", "/models")]
    assert statuses == [200, 200, 200, 429]


def test_what_is_no_request_passes():
    passed = []

    async def app(*what):
        passed.append(what)

    asyncio.run(admitting(app)({"type": "lifespan"}, min, max))
    assert passed == [({"type": "lifespan"}, min, max)]
