"""The edge of the hot path: what is read, what is refused, and what becomes of a bug."""

import asyncio
from typing import Any

import orjson
import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from llmgateway.lean_handler import LeanHandler


async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type="text/plain")


async def broken(_request: HttpRequest) -> HttpResponse:
    raise LookupError("a planted-secret in the reason")


URLS = (path("echo", echo), path("v1/messages", broken), path("v1/chat", broken))


class Client:
    """One request over ASGI; a piece that is None never comes, an exception-free end is a disconnect."""

    def __init__(self, *pieces: bytes | None, leaves: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self._pieces = list(pieces)
        self._leaves = leaves

    async def receive(self) -> dict[str, Any]:
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


async def ask(
    client: Client, at: str = "/echo", *headers: tuple[bytes, bytes], body_within_s: float = 60
) -> Client:
    handler = LeanHandler(URLS, body_bytes_max=10, body_read_timeout_s=body_within_s)  # type: ignore[arg-type]
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
