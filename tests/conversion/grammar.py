"""The rules S1 to S10 of a Messages stream, and the SDK's own reading of it."""

import json
from typing import Any

from anthropic import NOT_GIVEN
from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

DELTAS = {
    "text": {"text_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "redacted_thinking": set(),
}
STOP_KEYS = {"stop_reason", "stop_sequence", "stop_details"}
USAGE_INTS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)


def read_events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a client's stream; each frame has an event line that names its type (trap 55)."""
    assert stream == b"" or stream.endswith(b"\n\n")
    events = []
    for frame in stream.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def check_stream(stream: bytes, *, failed: bool) -> list[dict[str, Any]]:
    """The events of a stream, after they have been found to keep the rules. ``failed`` when an error is to follow."""
    events = [event for event in read_events(stream) if event["type"] != "ping"]  # S5
    if failed:
        assert all(event["type"] not in ("message_delta", "message_stop") for event in events)  # S8
        if not events:
            return events
    assert [event["type"] == "message_start" for event in events] == [True] + [False] * (
        len(events) - 1
    )  # S1
    _check_start(events[0]["message"])
    end = len(events) if failed else len(events) - 2
    _check_blocks(events[1:end], failed=failed)
    if not failed:
        delta, stop = events[end:]
        assert delta["type"] == "message_delta"  # S4
        assert delta["delta"]["stop_reason"] is not None
        assert set(delta["delta"]) == STOP_KEYS
        _check_usage(delta["usage"])
        assert stop == {"type": "message_stop"}
    return events


def _check_start(message: dict[str, Any]) -> None:
    assert message["content"] == []
    assert {key: message[key] for key in STOP_KEYS} == dict.fromkeys(STOP_KEYS)
    _check_usage(message["usage"])


def _check_usage(usage: dict[str, Any]) -> None:
    for name in USAGE_INTS:
        assert type(usage[name]) is int
        assert usage[name] >= 0


def _check_blocks(events: list[dict[str, Any]], *, failed: bool) -> None:
    open_block: dict[str, Any] | None = None
    pieces: list[str] = []
    count = 0
    for event in events:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block is None  # S2
            assert event["index"] == count  # S3
            open_block, pieces = event["content_block"], []
            count += 1
            continue
        assert open_block is not None
        assert event["index"] == count - 1
        if kind == "content_block_delta":
            assert event["delta"]["type"] in DELTAS[open_block["type"]]  # S6
            assert "signature_delta" not in pieces  # one, and last
            pieces.append(event["delta"]["type"])
        else:
            assert kind == "content_block_stop"
            if open_block["type"] == "thinking":
                assert pieces[-1] == "signature_delta"
            if open_block["type"] == "text":
                assert pieces
            open_block = None
    assert failed or open_block is None


def accumulate(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the SDK makes of a stream; each event fits the SDK's types."""
    snapshot, buffers = None, {}
    adapter = TypeAdapter(RawMessageStreamEvent)
    for event in events:
        adapter.validate_python(event)
        snapshot = accumulate_event(
            event=construct_type(type_=RawMessageStreamEvent, value=event),
            current_snapshot=snapshot,
            json_bufs=buffers,
            output_format=NOT_GIVEN,
        )
    assert snapshot is not None
    return snapshot.to_dict()


def check_message(body: bytes) -> dict[str, Any]:
    """A whole message, after it has been found to fit the SDK's type."""
    message = json.loads(body)
    Message.model_validate(message)
    assert set(message) >= STOP_KEYS
    _check_usage(message["usage"])
    return message
