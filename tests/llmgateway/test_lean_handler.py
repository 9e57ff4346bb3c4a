"""The edge of the hot path: what is read, what is refused, and what becomes of a bug."""

import asyncio
import gzip
from typing import Any

import orjson
import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from accounting.errors import KeyRefused
from llmgateway import outcomes
from llmgateway.answers import WholeAnswer
from llmgateway.body_room import Room
from llmgateway.lean_handler import SHORT_BYTES, LeanHandler


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="text/plain")


async def broken(_request: HttpRequest) -> HttpResponse:
    raise LookupError("a planted-secret in the reason")


URLS = (
    path("echo", echo),
    path("v1/echo", echo),
    path("v1/messages", broken),
    path("v1/chat", broken),
)


class Client:
    """One request over ASGI; a piece that is None never comes, an exception-free end is a disconnect."""

    def __init__(self, *pieces: bytes | None, leaves: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.read_count = 0
        self._pieces = list(pieces)
        self._leaves = leaves

    async def receive(self) -> dict[str, Any]:
        self.read_count += 1
        if self._pieces:
            piece = self._pieces.pop(0)
            if piece is None:
                await asyncio.sleep(3600)
            more = bool(self._pieces) or self._leaves
            return {"type": "http.request", "body": piece, "more_body": more}
        if not self._leaves:
            await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def let_in(_headers: object) -> None:
    """Anybody."""


async def refuse(_headers: object) -> None:
    raise KeyRefused("The API key is not known here.")


async def ask(
    client: Client,
    at: str = "/echo",
    *headers: tuple[bytes, bytes],
    body_within_s: float = 60,
    bytes_max: int = 10,
    room: Room | None = None,
    check: Any = let_in,
) -> Client:
    handler = LeanHandler(
        URLS,  # type: ignore[arg-type]
        body_bytes_max=bytes_max,
        body_read_timeout_s=body_within_s,
        room=room or Room(1000, "GATEWAY_BODIES_BYTES_MAX"),
        check_sender=check,
    )
    scope = {"type": "http", "method": "POST", "path": at, "headers": list(headers)}
    await handler(scope, client.receive, client.send)
    return client


@pytest.mark.parametrize("pieces", [(b"0123456789",), (b"01234", b"", b"56789"), (b"",)])
async def test_a_body_is_read_in_as_many_pieces_as_it_comes(pieces):
    client = await ask(Client(*pieces))

    assert (client.status, client.body) == (200, b"".join(pieces))


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ((b"0123456789x",), ()),
        ((b"01234", b"56789x"), ()),
        ((None,), ((b"content-length", b"11"),)),  # refused before it is read
    ],
)
async def test_a_body_that_is_too_large_is_413(pieces, headers):
    client = await ask(Client(*pieces), "/echo", *headers)

    assert client.status == 413
    assert b"GATEWAY_BODY_BYTES_MAX" in client.body


@pytest.mark.parametrize("pieces", [(None,), (b"01234", None)])
async def test_a_body_that_does_not_come_is_408(pieces):
    client = await ask(Client(*pieces), body_within_s=0.1)

    assert client.status == 408
    assert b"GATEWAY_BODY_READ_TIMEOUT_S" in client.body


@pytest.mark.parametrize("pieces", [(), (b"01234",)])
async def test_a_client_that_leaves_before_its_request_is_read_gets_nothing(pieces):
    client = await ask(Client(*pieces, leaves=True))

    assert client.sent == []


@pytest.mark.parametrize(
    ("at", "kind"), [("/v1/messages", "api_error"), ("/v1/chat", "server_error")]
)
async def test_a_bug_is_a_500_in_the_clients_dialect_and_its_reason_stays_in_the_log(
    at, kind, caplog
):
    caplog.set_level("ERROR", "llmgateway.lean_handler")
    client = await ask(Client(b""), at)

    assert client.status == 500
    error = orjson.loads(client.body)["error"]
    assert error["type"] == kind
    assert "its log has the reason under req_" in error["message"]
    assert b"planted-secret" not in client.body
    assert "planted-secret" in caplog.text


async def test_an_unknown_path_is_404_in_the_dialect_that_its_headers_tell():
    anthropic = await ask(Client(b""), "/nowhere", (b"anthropic-version", b"2023-06-01"))
    openai = await ask(Client(b""), "/nowhere")

    assert (anthropic.status, openai.status) == (404, 404)
    assert orjson.loads(anthropic.body)["error"]["type"] == "not_found_error"
    assert orjson.loads(openai.body)["error"]["code"] == "not_found"


LONG = str(SHORT_BYTES + 1).encode()
PACKED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"content-length", LONG), id="long"),
        pytest.param((b"transfer-encoding", b"chunked"), id="of unknown length"),
        pytest.param((b"content-encoding", b"gzip"), id="compressed"),
    ],
)
@pytest.mark.parametrize(
    ("at", "kind"), [("/v1/messages", "authentication_error"), ("/v1/chat", None)]
)
async def test_a_body_that_costs_something_is_not_read_of_whoever_has_no_key(header, at, kind):
    client = await ask(Client(None), at, header, bytes_max=SHORT_BYTES * 2, check=refuse)

    assert (client.status, client.read_count) == (401, 0)
    assert kind is None or orjson.loads(client.body)["error"]["type"] == kind
    assert (b"connection", b"close") in client.sent[0]["headers"]


async def test_a_short_body_is_read_before_anybody_is_asked():
    client = await ask(Client(b"0123"), "/v1/echo", (b"content-length", b"4"), check=refuse)

    assert (client.status, client.body) == (200, b"0123")


async def test_a_long_body_of_somebody_with_a_key_is_read_and_so_is_a_compressed_one():
    long = b"x" * (SHORT_BYTES + 1)
    room = Room(SHORT_BYTES * 2, "X")
    whole = await ask(
        Client(long[:10], long[10:]),
        "/v1/echo",
        (b"content-length", LONG),
        bytes_max=SHORT_BYTES * 2,
        room=room,
    )
    packed = await ask(
        Client(PACKED), "/v1/echo", (b"content-encoding", b"gzip"), room=room, bytes_max=99
    )

    assert (whole.status, whole.body) == (200, long)
    assert (packed.status, packed.body) == (200, b"{}")
    assert room.taken == 0


async def test_where_no_key_is_asked_for_no_long_body_is_read():
    """The health and metrics pages, and whatever else is not below /v1/."""
    at_once = await ask(
        Client(None), "/echo", (b"content-length", LONG), bytes_max=10 * SHORT_BYTES
    )
    chunked = await ask(
        Client(*[b"x" * 10_000] * 7),
        "/echo",
        (b"transfer-encoding", b"chunked"),
        bytes_max=10 * SHORT_BYTES,
        room=Room(10 * SHORT_BYTES, "X"),
    )

    assert (at_once.status, at_once.read_count) == (413, 0)
    assert chunked.status == 413
    assert b"nothing is read at this address" in chunked.body


@pytest.mark.parametrize(
    ("at", "status", "kind"),
    [("/v1/messages", 529, "overloaded_error"), ("/v1/chat", 503, "server_error")],
)
@pytest.mark.parametrize(
    ("pieces", "header"),
    [
        pytest.param((None,), (b"content-length", LONG), id="told"),
        pytest.param(
            (b"x" * 500, b"x" * 501), (b"transfer-encoding", b"chunked"), id="as it comes"
        ),
        pytest.param((b"x" * 500, b"x" * 501), (b"content-length", b"1001"), id="short"),
        pytest.param(
            (gzip.compress(b"x" * 2000, mtime=0),), (b"content-encoding", b"gzip"), id="unpacked"
        ),
    ],
)
async def test_bodies_that_all_together_are_too_many_are_told_to_come_again(
    at, status, kind, pieces, header
):
    room = Room(1000, "GATEWAY_BODIES_BYTES_MAX")
    client = await ask(Client(*pieces), at, header, bytes_max=10 * SHORT_BYTES, room=room)

    assert client.status == status
    assert orjson.loads(client.body)["error"]["type"] == kind
    assert b"GATEWAY_BODIES_BYTES_MAX" in client.body
    assert (b"retry-after", b"1") in client.sent[0]["headers"]
    assert room.taken == 0


async def test_a_body_has_its_room_until_its_request_is_over(monkeypatch):
    room = Room(1000, "X")
    seen: list[int] = []

    async def look(request: HttpRequest) -> HttpResponse:
        seen.append(room.taken)
        return HttpResponse(request.body)

    monkeypatch.setitem(globals(), "URLS", (path("v1/look", look),))
    await ask(Client(b"01", b"23"), "/v1/look", room=room)
    await ask(Client(PACKED), "/v1/look", (b"content-encoding", b"gzip"), room=room, bytes_max=99)
    gone = await ask(Client(b"0123", leaves=True), "/v1/look", room=room)

    assert seen == [4, 2]
    assert gone.sent == []
    assert room.taken == 0


@pytest.fixture
def book():
    """What is noted of requests that are over."""
    held, made = outcomes.held(), outcomes.Book()
    outcomes.hold(made)
    yield made
    outcomes.hold(held)


async def test_requests_below_v1_are_noted_and_nothing_else(book):
    await ask(Client(b""), "/echo")
    await ask(Client(b""), "/v1/chat")
    (outcome,) = book.take(9)
    assert (outcome.path, outcome.status, outcome.error) == ("/v1/chat", 500, "InternalFault")


async def test_a_body_that_does_not_come_is_noted_and_so_is_a_client_that_leaves(book):
    await ask(Client(None), "/v1/messages", body_within_s=0.1)
    await ask(Client(leaves=True), "/v1/messages")
    slow, gone = book.take(9)
    assert (slow.status, slow.error, slow.word) == (408, "RequestTooSlow", "refused")
    assert slow.ended_s - slow.began_s >= 0.1
    assert (gone.status, gone.error, gone.word) == (0, "", "client_closed")


def test_a_whole_answer_is_a_response_of_djangos_for_whoever_looks():
    answer = WholeAnswer(b'{"a":1}', {"x-a": "b"}, status=404)

    assert (answer.status_code, answer.content, answer["Content-Type"]) == (
        404,
        b'{"a":1}',
        "application/json",
    )
    answer.set_cookie("name", "value")
    answer.headers["X-B"] = "c"
    assert (answer.has_header("x-b"), answer.reason_phrase) == (True, "Not Found")
    assert "404" in repr(answer)
    with pytest.raises(AttributeError):
        _ = answer.no_such_thing
