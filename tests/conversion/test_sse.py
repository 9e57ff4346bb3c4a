import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion import sse
from conversion.dialects import Dialect
from conversion.errors import UpstreamInvalid
from conversion.sse import (
    Cutter,
    Frames,
    is_whole,
    split_frames,
    write_error_event,
    write_openai_chunk,
)
from tests.conversion.grammar import read_events

STREAM = (
    "\ufeffdata: {\"a\":\"ä€😀\"}\n\n"
    ": a comment\n\n"
    "event: ping\ndata:no blank\r\n\r\n"
    "data: one\rdata: two\r\r"
    "id: 7\nretry: 10\nunknown\n\n"
    "data\n\n"
    "data: a\u2028b\u0085c\n\n"
    "\n\n\ndata:  two blanks\r\n\n"
    'data: not ended'
).encode()  # fmt: skip
FRAMES = [
    (b"", '{"a":"ä€😀"}'.encode()),
    (b"ping", b"no blank"),
    (b"", b"one\ntwo"),
    (b"", b""),
    (b"", "a\u2028b\u0085c".encode()),
    (b"", b" two blanks"),
    (b"", b"not ended"),
]


def read(*pieces: bytes) -> list:
    frames = Frames()
    found = [frame for piece in pieces for frame in frames.feed(piece)]
    return found + frames.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def test_one_frame_is_its_data():
    assert read(b'data: {"a":1}\n\n') == [(b"", b'{"a":1}')]


def test_all_that_the_standard_allows_is_read():
    assert read(STREAM) == FRAMES


def test_byte_by_byte_is_the_same():
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == FRAMES


@given(st.lists(st.integers(min_value=0)))
def test_cut_anywhere_is_the_same(places):
    assert read(*cut(STREAM, places)) == FRAMES


@given(
    st.lists(
        st.sampled_from([b"\n", b"\r", b"\r\n", b"data: x", b"data", b":", b"event: e", b"\xef\xbb\xbf", b"{"])
    ),
    st.lists(st.integers(min_value=0)),
)  # fmt: skip
def test_any_lines_cut_anywhere_are_the_same(lines, places):
    data = b"".join(lines)
    assert read(*cut(data, places)) == read(data)


def test_frame_is_given_back_as_soon_as_it_is_whole():
    frames = Frames()
    assert frames.feed(b"data: 1\r\n\r") == [(b"", b"1")]
    assert frames.feed(b"\ndata: 2\n\n") == [(b"", b"2")]


def test_comments_are_counted():
    frames = Frames()
    assert frames.feed(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n") == []
    assert frames.comments == 2


def test_bare_json_is_taken_for_data():
    assert read(b'\n{"error": {\n"message": "x"}}\n') == [(b"", b'{"error": {\n"message": "x"}}\n')]


def test_endless_frame_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "FRAME_BYTES_MAX", 10)
    frames = Frames()
    frames.feed(b"data: 1234")
    with pytest.raises(UpstreamInvalid):
        frames.feed(b"5")


@given(st.lists(st.integers(min_value=0)))
def test_cutter_loses_no_byte(places):
    cutter = Cutter()
    pieces = [cutter.feed(piece) for piece in cut(STREAM, places)]
    whole = b"".join(pieces)
    assert STREAM.startswith(whole)
    assert whole + cutter.close() == STREAM
    assert cutter.is_empty


def test_split_frames_are_the_same_bytes():
    assert b"".join(split_frames(STREAM)) == STREAM
    assert split_frames(b"data: 1\n\ndata: 2\r\n\r\n") == [b"data: 1\n\n", b"data: 2\r\n\r\n"]


def test_whole_data_is_told_from_half():
    assert is_whole(b" [DONE]")
    assert is_whole(b"{}")
    assert not is_whole(b'{"a')


def test_error_event_for_anthropic():
    event = write_error_event(Dialect.ANTHROPIC_MESSAGES, "api_error", "broken", "req_1")
    assert read_events(event) == [
        {
            "type": "error",
            "error": {"type": "api_error", "message": "broken"},
            "request_id": "req_1",
        }
    ]


def test_error_event_for_openai_raises_in_its_sdk():
    event = write_error_event(Dialect.OPENAI_CHAT, "server_error", "broken", "req_1", code="worn")
    ((name, data),) = read(event)
    assert name == b""
    assert json.loads(data)["error"] == {
        "message": "broken",
        "type": "server_error",
        "param": None,
        "code": "worn",
    }


def test_chunk_for_openai_is_data_alone():
    assert write_openai_chunk({"a": "ä"}) == 'data: {"a":"ä"}\n\n'.encode()


@pytest.mark.parametrize("dialect", list(sse.PING))
def test_pings_say_nothing(dialect):
    frames = read(sse.PING[dialect])
    assert frames in ([], [(b"ping", b'{"type":"ping"}')])
