"""Input that few clients send, over a real socket: a right answer or a clear refusal, never a 500 and never a stall."""

import gzip
import zlib

import orjson
import pytest

from llmgateway.asgi import hot
from tests.fakes.upstream import FakeUpstream
from tests.llmgateway.test_bodies import bare
from tests.llmgateway.test_failures import assert_error
from tests.llmgateway.test_messages import ASK
from tests.serving import Serving

RAW = orjson.dumps(ASK)


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
        ("gzip", gzip.compress(RAW)),
        ("x-gzip", gzip.compress(RAW)),
        ("deflate", zlib.compress(RAW)),
        ("deflate", bare(RAW)),
        ("identity", RAW),
        ("GZIP, identity", gzip.compress(RAW)),
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
    answer = await gateway.messages(gzip.compress(RAW), content_encoding=encoding)
    other = await gateway.chat(gzip.compress(RAW), content_encoding=encoding)

    assert_error(answer, 415, "invalid_request_error", "gzip or deflate", encoding)
    assert_openai_error(other, 415, "gzip or deflate", encoding)
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    await assert_nothing_was_sent(gateway, upstream)


@pytest.mark.parametrize("packed", [gzip.compress(RAW)[:-3], gzip.compress(RAW) + b"x", RAW])
async def test_a_broken_gzip_stream_is_400(gateway: Serving, upstream: FakeUpstream, packed):
    answer = await gateway.messages(packed, content_encoding="gzip")

    assert_error(answer, 400, "invalid_request_error", "gzip stream")
    await assert_nothing_was_sent(gateway, upstream)


async def test_a_bomb_is_413(gateway: Serving, upstream: FakeUpstream, monkeypatch):
    monkeypatch.setattr(hot, "_body_bytes_max", 1_000_000)  # the setting, not a function

    answer = await gateway.messages(gzip.compress(b" " * 100_000_000), content_encoding="gzip")

    assert_error(answer, 413, "request_too_large", "1000000", "GATEWAY_BODY_BYTES_MAX")
    await assert_nothing_was_sent(gateway, upstream)
