"""A whole chat completion out of a whole Anthropic message: the sum of the pieces that a stream would have. Knows nothing of HTTP statuses."""

from typing import Any

import orjson

from conversion.errors import UpstreamInvalid
from conversion.openai_over_anthropic.counts import write_usage
from conversion.openai_over_anthropic.errors import is_error, read_event_error
from conversion.openai_over_anthropic.facts import Facts
from conversion.openai_over_anthropic.pieces import Pieces
from conversion.usage import FinishReason
from conversion.wire.openai_completion import Completion, Delta, Message, ToolCallPiece


def write_completion(body: bytes, facts: Facts) -> bytes:
    """The completion for the client; ``facts`` learns usage, finish reason and origin.

    Raises:
        UpstreamInvalid: the body is no message.
        UpstreamError: it is an error in the clothes of a success (trap 22).
    """
    answer = _read_object(body)
    if is_error(answer):
        facts.finish_reason = FinishReason.ERROR
        raise read_event_error(answer)
    content = answer.get("content")
    if answer.get("type") != "message" or not isinstance(content, list):
        raise UpstreamInvalid("the upstream's answer is no message")
    facts.read_message(answer, body)
    facts.is_final = True
    pieces = Pieces(facts)
    message = _sum(_deltas(content, pieces))
    finish = facts.settle(has_tools=pieces.calls > 0)
    message["refusal"] = facts.refusal or None
    expected = facts.expected
    written: Completion = {
        "id": expected.chat_id,
        "object": "chat.completion",
        "created": expected.created_s,
        "model": expected.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": write_usage(facts.usage),
        "system_fingerprint": None,
    }
    if facts.service_tier is not None:
        written["service_tier"] = facts.service_tier
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


def _deltas(content: list[Any], pieces: Pieces) -> list[Delta]:
    deltas: list[Delta] = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise UpstreamInvalid("the upstream's answer holds something that is no block")
        deltas += pieces.begin(index, block)
        deltas += pieces.end(index)
    return deltas


def _sum(deltas: list[Delta]) -> Message:
    """One message out of its pieces: texts joined, and what belongs to one call or one thought put together."""
    message: Message = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        if "content" in delta:
            message["content"] = (message["content"] or "") + delta["content"]
        if "reasoning" in delta:
            message["reasoning"] = message.get("reasoning", "") + delta["reasoning"]
            message["reasoning_content"] = message["reasoning"]
        for detail in delta.get("reasoning_details", ()):
            details = message.setdefault("reasoning_details", [])
            if details and details[-1]["index"] == detail["index"]:
                details[-1].update(detail)
            else:
                details.append(detail)
        for piece in delta.get("tool_calls", ()):
            _add_call(message.setdefault("tool_calls", []), piece)
        if "function_call" in delta:
            call = message.setdefault("function_call", {"arguments": ""})
            arguments = call["arguments"] + delta["function_call"]["arguments"]
            call.update(delta["function_call"])
            call["arguments"] = arguments
        for annotation in delta.get("annotations", ()):
            del annotation["index"]  # where it stands tells
            message.setdefault("annotations", []).append(annotation)
    return message


def _add_call(calls: list[ToolCallPiece], piece: ToolCallPiece) -> None:
    """A call's first piece has its id and no arguments, its second all of these: a whole block is told in two."""
    if "id" in piece:
        calls.append({"id": piece["id"], "type": "function", "function": piece["function"]})
    else:
        calls[-1]["function"]["arguments"] += piece["function"]["arguments"]
