"""Input that few clients send, over a real socket: a right answer or a clear refusal, never a 500 and never a stall."""

import asyncio
import base64
import gzip
import logging
import threading
import zlib
from typing import Any

import orjson
import pytest

from conversion.call import MESSAGES_MAX
from conversion.dialects import Converter
from conversion.pairs import make_converter
from llmgateway import attempt
from llmgateway.asgi import hot
from llmgateway.logs import LineFormatter
from routing.models import Provider
from tests.conversion.test_exotic import BODIES, least, nested
from tests.fakes.upstream import FakeUpstream, json_answer
from tests.llmgateway.conftest import MODEL
from tests.llmgateway.test_bodies import bare
from tests.llmgateway.test_failures import assert_error
from tests.llmgateway.test_messages import ASK
from tests.serving import Serving
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.uncovered

RAW = orjson.dumps(ASK)
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 20, "output_tokens": 5},
}
PLANTED = "planted-words-of-a-body"


@pytest.fixture(params=["converted", "passed"])
async def target(
    request: pytest.FixtureRequest, gateway: Serving, provider: Provider, upstream: FakeUpstream
) -> str:
    """Messages requests end at a target of OpenAI's dialect, or of Anthropic's; it may take its time."""
    provider.first_byte_timeout_s = provider.idle_timeout_s = provider.total_timeout_s = 20
    if request.param == "passed":
        provider.dialect = "anthropic_messages"
        upstream.default = json_answer(MESSAGE)
    await provider.asave()
    await gateway.runtime.refresh()
    return request.param


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that is logged, down to the last detail."""
    caplog.set_level(logging.DEBUG)
    for name in ("llmgateway", "routing", "accounting"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def assert_openai_error(answer, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    for word in words:
        assert word in answer.json()["error"]["message"]


async def assert_nothing_was_sent(gateway: Serving, upstream: FakeUpstream) -> None:
    assert upstream.requests == []
    assert await gateway.records() == []


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(RAW, mtime=0)),
        ("x-gzip", gzip.compress(RAW, mtime=0)),
        ("deflate", zlib.compress(RAW)),
        ("deflate", bare(RAW)),
        ("identity", RAW),
        ("GZIP, identity", gzip.compress(RAW, mtime=0)),
    ],
)
async def test_a_compressed_body_is_answered_like_any_other(
    gateway: Serving, upstream: FakeUpstream, encoding, packed
):
    for post in (gateway.messages, gateway.chat):
        answer = await post(packed, content_encoding=encoding)

        assert answer.status_code == 200, answer.text
        sent = upstream.requests[-1]
        assert sent.json["messages"] == ASK["messages"]
        assert "content-encoding" not in sent.headers


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip;q=1"])
async def test_an_encoding_that_is_not_read_is_415_and_says_which_are(
    gateway: Serving, upstream: FakeUpstream, encoding
):
    answer = await gateway.messages(gzip.compress(RAW, mtime=0), content_encoding=encoding)
    other = await gateway.chat(gzip.compress(RAW, mtime=0), content_encoding=encoding)

    assert_error(answer, 415, "invalid_request_error", "gzip or deflate", encoding)
    assert_openai_error(other, 415, "gzip or deflate", encoding)
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    await assert_nothing_was_sent(gateway, upstream)


@pytest.mark.parametrize(
    "packed", [gzip.compress(RAW, mtime=0)[:-3], gzip.compress(RAW, mtime=0) + b"x", RAW]
)
async def test_a_broken_gzip_stream_is_400(gateway: Serving, upstream: FakeUpstream, packed):
    answer = await gateway.messages(packed, content_encoding="gzip")

    assert_error(answer, 400, "invalid_request_error", "gzip stream")
    await assert_nothing_was_sent(gateway, upstream)


async def test_a_bomb_is_413(gateway: Serving, upstream: FakeUpstream, monkeypatch):
    monkeypatch.setattr(hot, "_body_bytes_max", 1_000_000)  # the setting, not a function

    answer = await gateway.messages(
        gzip.compress(b" " * 100_000_000, mtime=0), content_encoding="gzip"
    )

    assert_error(answer, 413, "request_too_large", "1000000", "GATEWAY_BODY_BYTES_MAX")
    await assert_nothing_was_sent(gateway, upstream)


def image(bytes_count: int) -> dict[str, Any]:
    data = base64.b64encode(bytes(bytes_count // 4 * 3)).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


async def test_an_image_of_ten_megabytes_arrives(
    gateway: Serving, upstream: FakeUpstream, target: str
):
    picture = image(10_000_000)
    packed = gzip.compress(orjson.dumps({**ASK, "messages": [said("user", [picture])]}))
    whole = await gateway.messages({**ASK, "messages": [said("user", [picture])]})
    unpacked = await gateway.messages(packed, content_encoding="gzip")

    assert (whole.status_code, unpacked.status_code) == (200, 200)
    for sent in upstream.requests:
        assert picture["source"]["data"].encode() in sent.body
    assert [record.request_bytes > 10_000_000 for record in await gateway.records(2)] == [True] * 2


async def test_an_image_of_ten_megabytes_passes_from_a_chat_client(
    gateway: Serving, upstream: FakeUpstream, provider: Provider
):
    provider.first_byte_timeout_s = provider.total_timeout_s = 20
    await provider.asave()
    await gateway.runtime.refresh()
    url = "data:image/png;base64," + image(10_000_000)["source"]["data"]
    part = {"type": "image_url", "image_url": {"url": url}}

    answer = await gateway.chat({"model": "m", "messages": [said("user", [part])]})

    assert answer.status_code == 200
    assert upstream.requests[0].json["messages"] == [said("user", [part])]


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


async def test_two_thousand_tools_arrive(gateway: Serving, upstream: FakeUpstream, target: str):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    tools = [{"name": f"tool {n}", "input_schema": schema} for n in range(2000)]

    answer = await gateway.messages({**ASK, "tools": tools})

    assert answer.status_code == 200, answer.text
    assert len(upstream.requests[0].json["tools"]) == 2000


async def test_a_hundred_thousand_messages_arrive_and_one_more_does_not(
    gateway: Serving, upstream: FakeUpstream, target: str
):
    many = [said("user", "x")] * MESSAGES_MAX
    answer = await gateway.messages({**ASK, "messages": many})
    refused = await gateway.messages({**ASK, "messages": [*many, said("user", "x")]})

    assert answer.status_code == 200, answer.text
    assert len(upstream.requests[0].json["messages"]) == MESSAGES_MAX
    assert_error(refused, 400, "invalid_request_error", "messages: ", "at most 100000")
    assert len(await gateway.records(1)) == len(upstream.requests) == 1


REFUSED: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"null", "JSON object"),
    (b"[]", "JSON object"),
    (b"[" * 1_000_000, "depth limit exceeded"),
    (b"[" * 5_000_000, "more than 2000000 braces and brackets"),
    (b'{"messages":' + nested(100_000) + b"}", "depth limit exceeded"),
    (RAW.decode().encode("utf-16"), "not in UTF-8"),
    (RAW[:-1] + b',"user":"\xff"}', "not in UTF-8"),
    (least(user=r'"\ud800"'), "low surrogate"),
    (least(temperature="NaN"), "not valid JSON"),
    (least(temperature="1e999"), "infinity"),
    (least(max_tokens=str(10**400)), "infinity"),
    (least(max_tokens=str(2**64)), "max_tokens"),
    (least(max_tokens='"9"'), "max_tokens"),
    (least(model='"' + "m" * 1_000_000 + '"'), "at most 256"),
    (least(model=r'"a\u0000b"'), "printable"),
    (least(messages="{}"), "messages"),
    (least(messages="null"), "messages"),
]


@pytest.mark.parametrize(("raw", "word"), REFUSED, ids=range(len(REFUSED)))
async def test_what_cannot_be_read_is_400_in_both_dialects_and_leaves_no_trace(
    gateway: Serving, upstream: FakeUpstream, target: str, raw, word, logged
):
    raw = raw.replace(b'"x"', b'"%b"' % PLANTED.encode())

    answer = await gateway.messages(raw)
    other = await gateway.chat(raw)

    message = assert_error(answer, 400, "invalid_request_error", word)
    assert_openai_error(other, 400, word)
    assert len(message) < 200
    gateway.runtime.teller.tell()
    lines = [LineFormatter().format(record) for record in logged.records]
    assert PLANTED not in "\n".join([logged.text, *lines])
    assert sum("error=RequestInvalid" in line for line in lines) >= 1
    await assert_nothing_was_sent(gateway, upstream)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + least(),
        least(max_tokens=str(2**63)),
        least(top_k=str(2**64)),
        least(model='"größe/模型 \U0001f600"'),
        least(messages=r'[{"role":"user","content":"a\u0000b"}]'),
        b'{"model":"other",' + least()[1:],
        b'{"stream":true,' + least(stream="false")[1:],
        least(user='"' + "\u2028\u2029\x85" + '"'),
    ],
)
async def test_what_is_odd_but_right_is_answered(
    gateway: Serving, upstream: FakeUpstream, target: str, raw
):
    answer = await gateway.messages(raw)

    assert answer.status_code == 200, answer.text
    asked = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    sent = upstream.requests[0].json
    assert sent["model"] == asked["model"]  # the wildcard passes every name on
    assert sent["messages"] == asked["messages"]
    [record] = await gateway.records(1)
    assert (record.status, record.alias) == ("succeeded", asked["model"])


@pytest.mark.parametrize("depth", [300, 900])
async def test_deep_nesting_is_passed_on_or_refused_with_its_reason(
    gateway: Serving, upstream: FakeUpstream, target: str, depth, logged
):
    tool = b'[{"name":"t","input_schema":{"type":"object","properties":%b}}]' % nested(
        depth, key=PLANTED
    )

    answer = await gateway.messages(least(tools=tool.decode()))

    if target == "passed":
        assert answer.status_code == 200
        assert tool in upstream.requests[0].body
    else:
        assert_error(answer, 400, "invalid_request_error", "nested too deeply")
        await assert_nothing_was_sent(gateway, upstream)
    assert PLANTED not in logged.text


WRONG = [None, True, 5, "text", [], {"type": 5}]


@pytest.mark.parametrize("client", list(BODIES))
async def test_a_wrong_type_in_any_field_is_answered_with_200_or_400(
    gateway: Serving, target: str, client, logged
):
    post = gateway.messages if client.value == "anthropic_messages" else gateway.chat
    body = {**BODIES[client], "stream": False}

    for name in body:
        for value in WRONG:
            if (name, value) == ("stream", True):
                continue  # nothing is wrong with it
            answer = await post({**body, name: value})
            assert answer.status_code in {200, 400}, (name, value, answer.text)
            if answer.status_code == 400:
                assert answer.json()["error"]["message"]
    assert "failed inside" not in logged.text


async def ask_raw(
    gateway: Serving, request: bytes, *, within_s: float = PATIENCE_S
) -> tuple[int, bytes]:
    """The status and the rest of what comes back for bytes that no HTTP client would send."""
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(within_s):
            line = await reader.readline()
            rest = await reader.read()
    finally:
        writer.close()
    return int(line.split(b" ")[1]), rest


def written(
    gateway: Serving,
    *headers: bytes,
    at: bytes = b"/v1/messages",
    method: bytes = b"POST",
    body: bytes = RAW,
    length: int | None = None,
) -> bytes:
    """A request as bytes; ``length`` is told instead of the body's, -1 tells none."""
    lines = [
        method + b" " + at + b" HTTP/1.1",
        b"host: localhost",
        b"connection: close",
        b"x-api-key: " + gateway.http.headers["x-api-key"].encode(),
        *headers,
    ]
    if length != -1:
        lines.append(b"content-length: %d" % (len(body) if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def test_odd_names_of_agents_and_sessions_are_kept_as_far_as_they_fit(
    gateway: Serving, target: str
):
    status, _rest = await ask_raw(
        gateway,
        written(
            gateway,
            b"x-llmgateway-agent: " + b"\xe9" * 10_000,
            b"x-claude-code-session-id: " + b"s\t" * 20_000,
        ),
    )

    assert status == 200
    [record] = await gateway.records(1)
    assert record.agent == "é" * 128
    assert record.session == "s\t" * 64


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff\xfe", "größe".encode(), b"a\tb", b"x" * 60_000, b"a,,b;=\"(",],
)  # fmt: skip
@pytest.mark.parametrize("name", [b"anthropic-beta", b"anthropic-version", b"content-type"])
async def test_odd_values_of_headers_are_no_reason_to_fail(
    gateway: Serving, upstream: FakeUpstream, target: str, name, value
):
    status, _rest = await ask_raw(gateway, written(gateway, name + b": " + value))

    assert status == 200
    assert upstream.requests[0].json["messages"] == ASK["messages"]


@pytest.mark.parametrize(
    "query",
    [b"", b"&&&=", b'a[]={}|"<>\\^`', b"%zz%00%ff%0d%0a", b"a?b?c://@:", b"x" * 60_000, b"a#b"],
)
async def test_odd_query_strings_are_no_reason_to_fail(
    gateway: Serving, upstream: FakeUpstream, target: str, query
):
    status, _rest = await ask_raw(gateway, written(gateway, at=b"/v1/messages?" + query))

    assert status == 200
    path = upstream.requests[0].path
    assert path.removeprefix("/api/v1/messages?").encode() == query.partition(b"#")[0] or (
        b"?" not in path.encode()
    )


@pytest.mark.parametrize(
    ("at", "status"),
    [
        (b"/v1/models?limit=" + b"9" * 5000, 400),
        (b"/v1/models?limit=", 400),
        (b"/v1/models?" + b"a=1&" * 5000, 200),
        (b"/v1/models?after_id=%ff%00&limit=5", 200),
        (b"/v1/models/%ff%00", 200),  # the wildcard answers to every name
    ],
)
async def test_odd_questions_for_models_are_answered_or_refused(gateway: Serving, at, status):
    request = written(gateway, b"anthropic-version: 2023-06-01", at=at, method=b"GET", body=b"")

    assert (await ask_raw(gateway, request))[0] == status


@pytest.mark.parametrize("at", [b"/v1/messages", b"/v1/chat/completions", b"/v1/models"])
@pytest.mark.parametrize(
    "method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"POST"]
)
async def test_another_method_is_405_and_says_which_is_taken(
    gateway: Serving, upstream: FakeUpstream, at, method
):
    takes = {b"GET", b"HEAD"} if at == b"/v1/models" else {b"POST"}
    if method in takes:
        return
    status, rest = await ask_raw(gateway, written(gateway, at=at, method=method))
    head, _blank, body = rest.partition(b"\r\n\r\n")

    assert status == 405
    allow = b"GET, HEAD" if at == b"/v1/models" else b"POST"
    assert b"\r\nallow: " + allow + b"\r\n" in head + b"\r\n"
    if method == b"HEAD":
        assert body == b""
    else:
        assert b"not " + method in body
    await assert_nothing_was_sent(gateway, upstream)


@pytest.mark.parametrize(
    "at",
    [
        b"/v1/messages/",
        b"/v1//messages",
        b"//v1/messages",
        b"/v1/chat/completions/",
        b"/v1/../v1/messages",
        b"/V1/messages",
        b"/v1/messages%0a",
        b"/v1/%ff%00",
        b"/v1/" + b"x" * 60_000,
    ],
)
async def test_a_path_that_is_almost_right_is_404(gateway: Serving, upstream: FakeUpstream, at):
    status, rest = await ask_raw(gateway, written(gateway, at=at))

    assert status == 404
    assert len(rest) < 2000
    await assert_nothing_was_sent(gateway, upstream)


CHUNKED = b"transfer-encoding: chunked"


@pytest.mark.parametrize(
    ("headers", "body", "length", "status"),
    [
        ((CHUNKED,), b"%x\r\n%b\r\n0\r\n\r\n" % (len(RAW), RAW), -1, 200),
        ((CHUNKED,), b"".join(b"1\r\n%c\r\n" % byte for byte in RAW) + b"0\r\n\r\n", -1, 200),
        ((CHUNKED,), b"0\r\n\r\n", -1, 400),
        ((CHUNKED,), b"zz\r\n" + RAW, -1, 400),
        ((CHUNKED,), b"%x\r\n%b\r\n0\r\n\r\n" % (len(RAW), RAW), len(RAW), 400),  # and a length
        ((CHUNKED,), b"%x\r\n%b\r\n" % (len(RAW), RAW), -1, 408),  # never ends
        ((), RAW, len(RAW) + 5, 408),
        ((), b"", len(RAW), 408),
        ((), RAW, len(RAW) - 5, 400),
        ((), RAW, 0, 400),
        ((), b"", -1, 400),
        ((b"content-length: 5",), RAW, None, 400),  # twice
        ((b"content-length: abc",), RAW, -1, 400),
        ((b"content-length: -5",), RAW, -1, 400),
        ((), RAW, 10**15, 413),
        ((), RAW, 10**30, 400),
        ((b"expect: nonsense",), RAW, None, 200),
    ],
)  # fmt: skip
async def test_a_body_that_is_not_as_it_was_announced_is_answered_soon(
    gateway: Serving, upstream: FakeUpstream, headers, body, length, status, monkeypatch
):
    if status == 408:
        monkeypatch.setattr(hot, "_body_read_timeout_s", 0.2)  # the setting, not a function

    request = written(gateway, *headers, body=body, length=length)

    assert (await ask_raw(gateway, request))[0] == status
    assert len(upstream.requests) == (status == 200)
    monkeypatch.undo()
    assert (await gateway.messages(ASK)).status_code == 200  # the next one is served


@pytest.mark.parametrize(("count", "is_here"), [(10, True), (40_000, False)])
async def test_a_long_request_is_translated_beside_the_loop(
    gateway: Serving, upstream: FakeUpstream, target: str, count, is_here, monkeypatch
):
    """Seen from inside: the thread in which a converter is made."""
    seen: list[str] = []

    def spy(*args: Any, **more: Any) -> Converter:
        seen.append(threading.current_thread().name)
        return make_converter(*args, **more)

    monkeypatch.setattr(attempt, "make_converter", spy)
    turns = [said("user", [{"type": "text", "text": "hello there"}])] * count

    answer = await gateway.messages({**ASK, "messages": turns})

    assert answer.status_code == 200
    assert len(upstream.requests[0].json["messages"]) == count
    assert [name == threading.current_thread().name for name in seen] == [is_here]
