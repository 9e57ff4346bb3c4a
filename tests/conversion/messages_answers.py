"""Messages answers for hypothesis: any message that keeps the rules, whole and as a stream."""

import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIGNATURE = st.text("abcdefgABCDEFG0123456789+/=", min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CITATION = st.fixed_dictionaries(
    {
        "type": st.just("web_search_result_location"),
        "url": st.sampled_from(["https://example.com/a", "http://example.com/b"]),
        "title": st.none() | TEXT,
        "cited_text": TEXT,
        "encrypted_index": SIGNATURE,
    }
) | st.fixed_dictionaries(
    {
        "type": st.just("char_location"),
        "cited_text": TEXT,
        "document_index": st.just(0),
        "document_title": st.none(),
        "start_char_index": st.just(0),
        "end_char_index": st.just(5),
    }
)
TEXT_BLOCK = st.fixed_dictionaries(
    {
        "type": st.just("text"),
        "text": TEXT,
        "citations": st.none() | st.lists(CITATION, min_size=1, max_size=2),
    }
)
THINKING_BLOCK = st.fixed_dictionaries(
    {"type": st.just("thinking"), "thinking": TEXT, "signature": SIGNATURE}
)
SEALED_BLOCK = st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": SIGNATURE})
SERVERS_BLOCK = st.sampled_from(
    [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "something_new", "text": "not for a chat"},
    ]
)
COUNT = st.integers(0, 10**6)


@st.composite
def tool_block(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": draw(st.sampled_from(["toolu_1", "toolu_2", "toolu_3", ""])),
        "name": draw(st.sampled_from(["get_weather", "search"])),
        "input": draw(st.dictionaries(TEXT, JSON, max_size=3)),
    }


USAGE = st.fixed_dictionaries(
    {
        "input_tokens": COUNT,
        "cache_creation_input_tokens": COUNT,
        "cache_read_input_tokens": COUNT,
        "output_tokens": COUNT,
    },
    optional={
        "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": COUNT}),
        "service_tier": st.sampled_from(["standard", "priority", "batch"]),
    },
)
STOP = st.sampled_from(
    [
        ("end_turn", None),
        ("max_tokens", None),
        ("stop_sequence", "END"),
        ("tool_use", None),
        ("pause_turn", None),
        ("refusal", None),
        ("model_context_window_exceeded", None),
        ("something_new", None),
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A whole message."""
    blocks = st.one_of(TEXT_BLOCK, THINKING_BLOCK, SEALED_BLOCK, SERVERS_BLOCK, tool_block())
    reason, sequence = draw(STOP)
    explanation = draw(st.none() | st.just("Not this."))
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-model-20260101",
        "content": draw(st.lists(blocks, max_size=6)),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "stop_details": {"type": "refusal", "category": None, "explanation": explanation}
        if reason == "refusal"
        else None,
        "usage": draw(USAGE),
    }


def event(value: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode()


@st.composite
def streams(draw: st.DrawFn, message: dict[str, Any]) -> bytes:
    """The message as a stream, its texts cut anywhere."""
    usage = message["usage"]
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**usage, "output_tokens": 1},
    }
    start["usage"].pop("output_tokens_details", None)
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(message["content"]):
        begun, deltas = _cut(block, draw)
        events.append({"type": "content_block_start", "index": index, "content_block": begun})
        if draw(st.booleans()):
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": it} for it in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    last = {name: usage[name] for name in usage if name.startswith("output_tokens")}
    if draw(st.booleans()):
        last |= {"input_tokens": None, "cache_read_input_tokens": usage["cache_read_input_tokens"]}
    events.append({"type": "message_delta", "delta": stop, "usage": last})
    events.append({"type": "message_stop"})
    return b"".join(map(event, events))


def _cut(block: dict[str, Any], draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block's beginning, and its deltas."""
    kind = block["type"]
    if kind == "text":
        cited = [{"type": "citations_delta", "citation": it} for it in block["citations"] or ()]
        texts = [{"type": "text_delta", "text": it} for it in _pieces(block["text"], draw)]
        return {"type": "text", "text": "", "citations": None}, [*cited, *texts]
    if kind == "thinking":
        texts = [
            {"type": "thinking_delta", "thinking": it} for it in _pieces(block["thinking"], draw)
        ]
        sealed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*texts, sealed]
    if kind == "tool_use":
        written = json.dumps(block["input"]) if block["input"] else ""
        pieces = ["", *_pieces(written, draw)]
        begun = {**block, "input": {}}
        return begun, [{"type": "input_json_delta", "partial_json": it} for it in pieces]
    return block, []


def _pieces(text: str, draw: st.DrawFn) -> list[str]:
    at = draw(st.integers(0, len(text)))
    return [piece for piece in (text[:at], text[at:]) if piece]
