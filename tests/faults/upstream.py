"""A provider that fails in the way that the name of the model asks for, in a thread of its own.

A request for the model ``resets`` is reset, one for ``stalls`` stalls, whatever its dialect and whether it streams; so
any number of cases can be under way at once. Every request carries the gateway's id (header rule ``x-asked-as``).
"""

import asyncio
import contextlib
import itertools
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from tests.fakes.upstream import (
    NOTHING_AT_ALL,
    SILENCE,
    Answer,
    FakeUpstream,
    SeenRequest,
    chat_answer,
    chunk,
    json_answer,
    text_stream,
)

SECRET = "sk-planted-0123456789-of-the-provider-abcdef"
WORDS = ("Once ", "upon ", "a ", "time ")
EVENTS = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
ASKED_AS = "x-asked-as"


class Parts:
    """What an answer is made of in the dialect and manner that a request asks for."""

    def __init__(self, request: SeenRequest) -> None:
        self.is_anthropic = request.path.startswith("/v1/messages")
        self.is_stream = bool(request.json.get("stream"))
        self.headers = EVENTS if self.is_stream else JSON

    def whole(self) -> list[bytes]:
        """All of a sound answer, in pieces."""
        if self.is_stream:
            return [self._event(event) for event in self._events()] + (
                [] if self.is_anthropic else [b"data: [DONE]\n\n"]
            )
        answer = message() if self.is_anthropic else chat_answer("".join(WORDS))
        body = orjson.dumps(answer)
        return [body[:40], body[40:]]

    def begun(self) -> list[bytes]:
        """The first half of it: a stream has had content by then."""
        whole = self.whole()
        return whole[: len(whole) // 2]

    def word(self, text: str = "and ") -> bytes:
        """One more event with content."""
        if self.is_anthropic:
            return self._event(text_delta(text))
        return self._event(chunk({"content": text}))

    def _events(self) -> list[dict[str, Any]]:
        return message_stream() if self.is_anthropic else text_stream(*WORDS)

    def _event(self, event: dict[str, Any]) -> bytes:
        name = b"event: " + event["type"].encode() + b"\n" if self.is_anthropic else b""
        return name + b"data: " + orjson.dumps(event) + b"\n\n"


def message() -> dict[str, Any]:
    """A whole answer as Anthropic gives it."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 5},
    }


def message_stream() -> list[dict[str, Any]]:
    """The same as a stream."""
    start = {**message(), "content": [], "stop_reason": None}
    return [
        {"type": "message_start", "message": start},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        *(text_delta(word) for word in WORDS),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


def text_delta(text: str) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


def sound(parts: Parts) -> Answer:
    return Answer(parts.whole(), headers=parts.headers)


def slow(parts: Parts) -> Answer:
    """Sound, and some seconds long."""
    first, *rest = parts.whole()
    pieces = (
        [first, *rest[:2], *([parts.word()] * 40), *rest[2:]] if parts.is_stream else [first, *rest]
    )
    return Answer(pieces, headers=parts.headers, pause_s=0.05 if parts.is_stream else 2.0)


def resets(parts: Parts) -> Answer:
    return Answer(parts.begun(), headers=parts.headers, ending="reset")


def cuts(parts: Parts) -> Answer:
    return Answer(parts.begun(), headers=parts.headers, ending="cut")


def stalls(parts: Parts) -> Answer:
    return Answer(parts.begun(), headers=parts.headers, ending="stall")


def drips(parts: Parts) -> Answer:
    """A byte each moment that is too short for the clock that waits for the next byte."""
    rest = b"".join(parts.whole()[3 if parts.is_stream else 1 :])
    drops = [rest[at : at + 1] for at in range(len(rest))]
    return Answer([*parts.begun(), *drops], headers=parts.headers, pause_s=0.25)


def turns_to_garbage(parts: Parts) -> Answer:
    garbage = b"data: {\xff\xfe\x00 not json\n\n" + bytes(range(256))
    return Answer([*parts.begun(), garbage], headers=parts.headers)


def is_garbage(parts: Parts) -> Answer:
    return Answer([b"\x00\xff<html>" + SECRET.encode() + b"\x80"], headers=parts.headers)


def is_no_http(_parts: Parts) -> Answer:
    return Answer([b"\x16\x03\x01 " + SECRET.encode()], status=0)


def never_ends(parts: Parts) -> Answer:
    """Sound events without end; a whole answer of which there is always more."""
    more = parts.word() if parts.is_stream else b" " * 65536
    return Answer(
        itertools.chain(parts.begun(), itertools.repeat(more)),  # type: ignore[arg-type]
        headers=parts.headers,
        pause_s=0.01 if parts.is_stream else 0.0,
    )


def has_one_endless_event(parts: Parts) -> Answer:
    piece = b"data: " + b"x" * 65536
    return Answer(
        itertools.chain(parts.begun(), itertools.repeat(piece)),  # type: ignore[arg-type]
        headers=parts.headers,
    )


def _status(status: int, **headers: str) -> Callable[[Parts], Answer]:
    told = {"error": {"message": f"No, and the credential was {SECRET}.", "code": status}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _parts: json_answer(told, status=status, headers=named)


BEHAVIOURS: dict[str, Callable[[Parts], Answer]] = {
    "sound": sound,
    "slow": slow,
    "resets-before": lambda _parts: NOTHING_AT_ALL,
    "resets": resets,
    "cuts": cuts,
    "stalls-before": lambda _parts: SILENCE,
    "stalls": stalls,
    "drips": drips,
    "turns-to-garbage": turns_to_garbage,
    "is-garbage": is_garbage,
    "is-no-http": is_no_http,
    "never-ends": never_ends,
    "has-one-endless-event": has_one_endless_event,
    "is-500": _status(500),
    "is-503": _status(503, retry_after="0"),
    "is-529": _status(529),
    "is-429": _status(429, retry_after="0"),
}


class FailingUpstream(FakeUpstream):
    """Answers each model in its own way; one that is not told of is sound."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.answer_with = self._behave

    @staticmethod
    def _behave(request: SeenRequest) -> Answer:
        name = str(request.json.get("model", "")).partition("+")[0]
        return BEHAVIOURS.get(name, sound)(Parts(request))

    def asked(self) -> Counter[str]:
        """How often it was asked under each of the gateway's ids."""
        return Counter(request.headers[ASKED_AS] for request in list(self.requests))


@contextlib.contextmanager
def in_a_thread(*upstreams: FakeUpstream) -> Iterator[None]:
    """Let them serve beside the tests, whose own event loops come and go."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="upstreams", daemon=True)
    thread.start()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    try:
        for upstream in upstreams:
            run(upstream.__aenter__())
        yield
    finally:
        for upstream in upstreams:
            run(upstream.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
