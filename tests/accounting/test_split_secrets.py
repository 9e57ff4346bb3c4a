"""A secret that a stream spreads over its events is taken out of each of them."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.masking import MARK, Masker
from accounting.split_secrets import is_stream

SECRET = "sk-or-v1-planted-secret-0123456789abcdef"


def chat(text: str, index: int = 0) -> bytes:
    chunk = {"id": "gen-1", "choices": [{"index": index, "delta": {"content": text}}]}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def block(text: str, index: int = 0, member: str = "text") -> bytes:
    delta = {"type": "content_block_delta", "index": index, "delta": {member: text}}
    return b"event: content_block_delta\ndata: " + orjson.dumps(delta) + b"\n\n"


def ollama(text: str) -> bytes:
    return orjson.dumps({"model": "m", "message": {"content": text}}) + b"\n"


def told(stream: bytes) -> str:
    """What a reader of the stream reads."""
    words = []
    for line in stream.split(b"\n"):
        payload = line.removeprefix(b"data: ")
        if payload.startswith(b"{"):
            event = orjson.loads(payload)
            if "choices" in event:
                words.append(event["choices"][0]["delta"]["content"])
            elif "delta" in event:
                words += event["delta"].values()
            else:
                words.append(event["message"]["content"])
    return "".join(words)


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("event", [chat, block, ollama])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_a_secret_in_pieces_is_masked(event, size):
    stream = b"".join(map(event, ["Your key: ", *pieces(SECRET, size), ", is it not?"]))
    out = Masker().body(stream, bytes_max=100_000)

    assert told(out) == f"Your key: {MARK}, is it not?"
    assert out.count(b"\n") == stream.count(b"\n")


def test_a_known_secret_in_pieces_is_masked():
    out = Masker(secrets=["correct horse battery"]).body(
        b"".join(map(chat, pieces("it is correct horse battery, I think", 4))), bytes_max=10_000
    )

    assert told(out) == f"it is {MARK}, I think"


def test_blocks_that_take_turns_are_told_apart():
    turns = [piece for word in pieces(SECRET, 5) for piece in (block(word, 1), block("ab ", 2))]
    out = Masker().body(b"".join(turns), bytes_max=100_000)

    assert told(out).replace("ab ", "") == MARK


def test_a_password_in_the_arguments_of_a_tool_is_masked_across_events():
    arguments = '{"user": "me", "password": "hunter2"}'
    stream = b"".join(block(piece, 0, "partial_json") for piece in pieces(arguments, 6))

    assert told(Masker().body(stream, bytes_max=10_000)) == '{"user": "me", "password": "[masked]"}'


def test_a_stream_without_secrets_stays_byte_for_byte():
    stream = (
        b": comment\n\n" + b"".join(map(chat, ["a", "b"])) + b"data: [DONE]\r\n\r\ndata: {broken\n"
    )

    assert Masker().body(stream, bytes_max=10_000) == stream


@given(size=st.integers(1, 12), cut=st.integers(0, 4000))
def test_no_reader_of_a_cut_stream_can_put_the_secret_together(size, cut):
    stream = b"".join(map(chat, ["Your key: ", *pieces(SECRET, size), " end"]))
    out = Masker().body(stream, bytes_max=cut)

    assert out == Masker().body(out, bytes_max=len(out))
    whole_lines = out[: out.rfind(b"\n\n") + 1]
    assert "sk-or" not in told(whole_lines)
    assert len(out) <= cut + len(MARK)


@given(size=st.integers(1, 12), seen=st.integers(0, 4000))
def test_no_reader_of_a_stream_that_broke_off_can_either(size, seen):
    stream = b"".join(map(chat, ["Your key: ", *pieces(SECRET, size), " end"]))[:seen]
    out = Masker(secrets=[SECRET]).body(stream, bytes_max=100_000)

    assert "sk-o" not in told(out[: out.rfind(b"\n\n") + 1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'data: {"a": 1}\n\n', True),
        (b"event: x\ndata: {}\n\n", True),
        (b": OPENROUTER PROCESSING\n\ndata: {}\n\n", True),
        (b'{"a": 1}\n{"a": 2}\n', True),
        (b'{"a": 1}', False),
        (b"<html>data: </html>", False),
        (b"", False),
    ],
)
def test_a_stream_is_told_from_a_whole_body(text, expected):
    assert is_stream(text) is expected
