"""A whole Anthropic message out of a whole OpenAI chat completion. Knows nothing of HTTP statuses."""

from typing import Any

import orjson

from conversion.anthropic_over_openai.contents import read_content
from conversion.anthropic_over_openai.counts import write_usage
from conversion.anthropic_over_openai.facts import Facts
from conversion.anthropic_over_openai.finishes import write_stop
from conversion.anthropic_over_openai.thoughts import Thought, is_empty, is_shown, read_reasoning
from conversion.anthropic_over_openai.tool_calls import (
    ToolCall,
    ToolCalls,
    read_calls,
    read_input,
)
from conversion.errors import UpstreamInvalid
from conversion.reasoning import pack_details, pack_extra
from conversion.wire.anthropic_answer import Block, Message, ToolUseBlock

_PLAIN = frozenset({"role", "content"})


def write_message(body: bytes, facts: Facts) -> bytes:
    """The message for the client; ``facts`` learns usage, finish reason and origin.

    Thinking comes first, then text, then the calls: a chat completion does not tell any other order.

    Raises:
        UpstreamInvalid: the body is no chat completion.
        UpstreamError: it is an error in the clothes of a success (trap 22).
    """
    answer = _read_object(body)
    facts.read_answer(answer, body)
    facts.read_origin(answer)
    choice = _first_choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        if choice.get("error"):
            facts.read_ending(choice)
        raise UpstreamInvalid("the upstream's answer holds no message")
    facts.read_ending(choice)
    facts.seen = True
    content = _plain_text(message, facts)
    has_tools = False
    if content is None:
        facts.note_left_out(message)
        content = [*_thinking(message, facts), *_text(message, facts)]
        calls = _calls(message, facts)
        content += calls
        has_tools = any(call["type"] == "tool_use" for call in calls)
    facts.finish_reason = reason = facts.ending.settled(has_tools=has_tools)
    written: Message = {
        "id": facts.expected.message_id,
        "type": "message",
        "role": "assistant",
        "model": facts.expected.model,
        "content": content,
        **write_stop(reason, facts.ending.stop_sequence),
        "usage": write_usage(facts.usage),
    }
    return orjson.dumps(written)


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The body is not quoted: it is the HTML page of some proxy as often as not.
        raise UpstreamInvalid("the upstream's answer is not JSON") from error
    if not isinstance(answer, dict):
        raise UpstreamInvalid("the upstream's answer is no JSON object")
    return answer


def _first_choice(answer: dict[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UpstreamInvalid("the upstream's answer holds no choices")
    choice: dict[str, Any] = choices[0]
    return choice


def _plain_text(message: dict[str, Any], facts: Facts) -> list[Block] | None:
    """The content of a message that says nothing but a text, as most do; None where there may be more to it."""
    text = message.get("content")
    if not isinstance(text, str) or not {name for name, said in message.items() if said} <= _PLAIN:
        return None
    return _text_block(text, facts)


def _text_block(text: str, facts: Facts) -> list[Block]:
    """The text as a block; none for white space alone, which Anthropic would refuse to take back (trap 30)."""
    facts.answer_chars += len(text)
    if text.isspace():
        facts.note_blank_text()
    elif text:
        return [{"type": "text", "text": text, "citations": None}]
    return []


def _thinking(message: dict[str, Any], facts: Facts) -> list[Block]:
    blocks: list[Block] = []
    thought: Thought | None = None
    details = [
        *read_reasoning(message),
        *(
            {"type": "reasoning.text", "text": text}
            for kind, text in read_content(message.get("content"), facts)
            if kind == "thinking"
        ),
    ]
    for detail in details:
        if not is_shown(detail):
            _close(thought, blocks, facts)
            thought = None
            data = pack_details([detail], thinking=None)
            blocks.append({"type": "redacted_thinking", "data": data})
            continue
        if thought is None or not thought.continues(detail):
            if is_empty(detail):
                continue
            _close(thought, blocks, facts)
            thought = Thought()
        facts.answer_chars += len(thought.add(detail))
    _close(thought, blocks, facts)
    return blocks


def _close(thought: Thought | None, blocks: list[Block], facts: Facts) -> None:
    if thought is None:
        return
    hidden = facts.expected.omit_thinking_text
    blocks.append(
        {
            "type": "thinking",
            "thinking": "" if hidden else thought.text(),
            "signature": thought.signature(hidden=hidden),
        }
    )


def _text(message: dict[str, Any], facts: Facts) -> list[Block]:
    pieces = []
    for kind, text in read_content(message.get("content"), facts):
        if kind != "thinking":
            pieces.append(text)
            facts.ending.refused = facts.ending.refused or kind == "refusal"
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        pieces.append(refusal)
        facts.ending.refused = True
    return _text_block("".join(pieces), facts)


def _calls(message: dict[str, Any], facts: Facts) -> list[Block]:
    blocks: list[Block] = []
    ids: set[str] = set()
    for entry in read_calls(message):
        call, arguments = ToolCalls().read(entry)  # nothing to join: each entry is a whole call
        facts.answer_chars += len(arguments)
        if not call.name:
            if arguments.strip():
                raise UpstreamInvalid("the upstream sent a tool call without a name")
            facts.note_dropped("tool_calls", "an empty entry without a name is no call")
            continue
        tool_input = _input(arguments, facts)
        if tool_input is not None:
            blocks += _tool_use(call, tool_input, ids, number=len(ids) + 1, facts=facts)
    return blocks


def _input(arguments: str, facts: Facts) -> dict[str, Any] | None:
    try:
        return read_input(arguments)
    except UpstreamInvalid:
        if not facts.ending.is_cut:
            raise
    # A tool_use block needs an object, and this one was cut where the answer was (trap 12).
    facts.note_dropped("tool_calls.arguments", "the call was cut off with the answer")
    return None


def _tool_use(
    call: ToolCall, tool_input: dict[str, Any], ids: set[str], *, number: int, facts: Facts
) -> list[Block]:
    expected = facts.expected
    tool_id = expected.tool_id(call.id, number=number)
    if tool_id in ids:  # two calls under one id could not be answered
        tool_id = expected.tool_id("", number=number)
    ids.add(tool_id)
    name = expected.tool_names.get(call.name, call.name)
    block: ToolUseBlock = {"type": "tool_use", "id": tool_id, "name": name, "input": tool_input}
    if call.extra is None:
        return [block]
    data = pack_extra(tool_id, call.extra)
    return [{"type": "redacted_thinking", "data": data}, block]
