"""A conversation that began at an OpenAI upstream goes on at Anthropic's own: thoughts that nobody there signed stay behind."""

from typing import Any

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.passthrough import Passthrough
from conversion.reasoning import PREFIX, pack_details, pack_extra
from tests.conversion.anthropic_over_openai.answering import Answering

CLAUDES = {"type": "reasoning.text", "text": "Hm.", "format": "anthropic-claude-v1", "index": 0}
SIGNED = {**CLAUDES, "signature": "EqQB"}
SEALED = {"type": "reasoning.encrypted", "data": "ENC", "format": "anthropic-claude-v1", "index": 1}
GEMINIS = {"type": "reasoning.encrypted", "data": "GEM", "format": "google-gemini-v1", "index": 0}
TEXT = {"type": "text", "text": "Let me see."}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "nothing"}
ASKED = {"role": "user", "content": "hi"}
CLEAR = {"type": "clear_thinking_20251015", "keep": "all"}


def thinking(*details: dict[str, Any], text: str = "Hm.") -> dict[str, Any]:
    return {
        "type": "thinking",
        "thinking": text,
        "signature": pack_details(details, thinking=text),
    }


def redacted(*details: dict[str, Any]) -> dict[str, Any]:
    return {"type": "redacted_thinking", "data": pack_details(details, thinking=None)}


def sent(*turns: Any, **members: Any) -> tuple[dict[str, Any], list[str]]:
    """What goes to the upstream, and what was left out."""
    body = {"model": "m", "max_tokens": 4000, "messages": list(turns), **members}
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    converter = Passthrough(call, upstream_model="claude")
    return orjson.loads(converter.request), converter.report.dropped_paths


def said(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


PLAIN = thinking({"type": "reasoning.text", "text": "Hm."})


@pytest.mark.parametrize(
    ("block", "left", "dropped"),
    [
        (PLAIN, [], ["thinking"]),
        (thinking(SIGNED), [{"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}], []),
        (thinking(CLAUDES), [], ["thinking"]),
        (thinking({**SIGNED, "format": "acme-v1"}), [], ["thinking"]),
        (redacted(SEALED), [{"type": "redacted_thinking", "data": "ENC"}], []),
        (redacted(GEMINIS), [], ["redacted_thinking"]),
        ({"type": "redacted_thinking", "data": pack_extra("toolu_1", {"google": 1})}, [], ["redacted_thinking"]),
        ({"type": "thinking", "thinking": "Hm.", "signature": f"{PREFIX}damaged"}, [], ["thinking"]),
        ({"type": "thinking", "thinking": None, "signature": f"{PREFIX}W10"}, [], ["thinking"]),
    ],
)  # fmt: skip
def test_what_anthropic_did_not_sign_is_left_out_and_what_it_did_is_its_own_again(
    block, left, dropped
):
    body, paths = sent(ASKED, said(block, TEXT, block), ASKED)

    assert body["messages"] == [ASKED, said(*left, TEXT, *left), ASKED]
    assert paths == [f"messages[].content[].{kind}" for kind in dropped]


def test_a_hidden_thought_of_a_claude_comes_back_with_its_text():
    block = {
        "type": "thinking",
        "thinking": "",
        "signature": pack_details([SIGNED], thinking=None),
    }

    body, _ = sent(ASKED, said(block, TEXT), ASKED)

    assert body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": "EqQB",
    }


def test_an_answer_that_was_converted_can_go_on_at_anthropics_own():
    answering = Answering()
    choice = {
        "message": {"content": "Hello", "reasoning_content": "Hm."},
        "finish_reason": "stop",
    }
    message = orjson.loads(answering.read_answer(orjson.dumps({"id": "x", "choices": [choice]})))
    assert message["content"][0]["signature"].startswith(PREFIX)

    body, _ = sent(ASKED, {"role": "assistant", "content": message["content"]}, ASKED)

    assert [block["type"] for block in body["messages"][1]["content"]] == ["text"]


def test_a_turn_of_nothing_else_goes_and_all_others_stay_as_they_are():
    theirs = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
    odd = [said(theirs, TEXT), said(), {"role": "assistant", "content": f'"{PREFIX}"'}, "none"]
    odd += [said("none", {"type": 1}, {"type": "thinking", "signature": 1})]

    body, _ = sent(ASKED, said(PLAIN), *odd)

    assert body["messages"] == [ASKED, *odd]


def test_who_only_speaks_of_such_a_signature_is_sent_byte_for_byte():
    body = {"model": "claude", "max_tokens": 4000, "messages": [{**ASKED, "content": [{"type": "text", "text": f"{PREFIX}"}]}]}  # fmt: skip
    raw = orjson.dumps(body).replace(b",", b" ,")
    call = read_call(Dialect.ANTHROPIC_MESSAGES, raw)

    assert Passthrough(call, upstream_model="claude").request == raw


@pytest.mark.parametrize(
    ("management", "left"),
    [
        ({"edits": [CLEAR]}, None),
        ({"edits": [CLEAR, {"type": "compact_20260112"}, 1], "a": 1}, {"edits": [{"type": "compact_20260112"}, 1], "a": 1}),
        ({"edits": 1}, {"edits": 1}),
        (1, 1),
    ],
)  # fmt: skip
def test_a_budget_is_not_asked_for_in_a_loop_whose_thought_was_left_out(management, left):
    body, paths = sent(
        ASKED,
        said(PLAIN, CALL),
        {"role": "user", "content": [RESULT]},
        thinking={"type": "enabled", "budget_tokens": 2000},
        context_management=management,
    )

    assert body["messages"][1] == said(CALL)
    assert body["thinking"] == {"type": "disabled"}
    assert body["context_management"] == left
    assert paths == ["messages[].content[].thinking", "thinking"]


@pytest.mark.parametrize(
    ("wish", "turns"),
    [
        ({"type": "adaptive"}, [said(PLAIN, CALL), {"role": "user", "content": [RESULT]}]),
        ({"type": "enabled"}, [said(thinking(SIGNED), CALL), {"role": "user", "content": [RESULT]}]),
        ({"type": "enabled"}, [said(PLAIN, TEXT), ASKED]),
        ({"type": "enabled"}, [said(PLAIN)]),
        (1, [said(PLAIN, TEXT), "none"]),
    ],
)  # fmt: skip
def test_all_other_wishes_to_think_stay(wish, turns):
    body, _ = sent(ASKED, *turns, thinking=wish, context_management={"edits": [CLEAR]})

    assert body["thinking"] == wish
    assert body["context_management"] == {"edits": [CLEAR]}
