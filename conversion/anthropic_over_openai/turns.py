"""System and messages: turns of content blocks as chat messages.

One user turn with tool results becomes several messages, in this order: a ``tool`` message for each result, right
after the assistant's calls, then one user message with everything else, to which images and files of the results
are moved, because a ``tool`` message holds text only.
"""

from typing import Any

from conversion.anthropic_over_openai.parts import Part, write_part
from conversion.anthropic_over_openai.reading import Reading, need_text, write_json
from conversion.anthropic_over_openai.thinking import Replay
from conversion.errors import RequestInvalid
from conversion.tool_ids import to_upstream

Message = dict[str, Any]
ATTRIBUTION = "x-anthropic-billing-header:"


def write_messages(body: dict[str, Any], reading: Reading) -> list[Message]:
    """All of the conversation, the system prompt first."""
    messages: list[Message] = []
    system = _write_system(body.get("system"), "system", reading)
    if system is not None:
        messages.append(system)
    for number, turn in enumerate(body["messages"]):
        path = f"messages[{number}]"
        if not isinstance(turn, dict):
            raise RequestInvalid("Input should be a valid dictionary", path=path)
        role = turn.get("role")
        if role == "user":
            _write_user(turn, path, reading, messages)
        elif role == "assistant":
            _write_assistant(turn, path, reading, messages)
        elif role == "system":
            message = _write_system(turn.get("content"), f"{path}.content", reading)
            if message is not None:
                messages.append(message)
        else:
            raise RequestInvalid(
                "Input should be 'user', 'assistant' or 'system'", path=f"{path}.role"
            )
    if len(messages) == (system is not None):
        raise RequestInvalid("at least one message is required", path="messages")
    return messages


def _blocks(content: Any, path: str) -> list[dict[str, Any]]:
    """The content's blocks; a string is one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise RequestInvalid("Field required: a string or a list of blocks", path=path)
    for number, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise RequestInvalid("Field required: a block with a type", path=f"{path}[{number}]")
    return content


def _write_system(content: Any, path: str, reading: Reading) -> Message | None:
    """A system message; None when nothing is left of it.

    Claude Code's first block names its version and changes with it: noise to other vendors, and poison for their
    prefix caches (trap 41).
    """
    if content is None and path == "system":
        return None
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(_blocks(content, path)):
        if block["type"] != "text":
            raise RequestInvalid("Input should be a text block", path=f"{path}[{number}].type")
        text = need_text(block, "text", f"{path}[{number}]")
        if text.startswith(ATTRIBUTION):
            reading.report.dropped(
                f"{path}[{number}]", "Claude Code's attribution is for Anthropic only"
            )
        elif text:
            parts.append(reading.with_cache_mark({"type": "text", "text": text}, block))
    if not parts:
        return None
    if any("cache_control" in part for part in parts):
        return {"role": "system", "content": parts}
    return {"role": "system", "content": "\n\n".join(part["text"] for part in parts)}


def _write_user(turn: Message, path: str, reading: Reading, messages: list[Message]) -> None:
    content = turn.get("content")
    if isinstance(content, str):
        messages.append({"role": "user", "content": content})
        return
    parts: list[Part] = []
    moved: list[Part] = []
    for number, block in enumerate(_blocks(content, f"{path}.content")):
        where = f"{path}.content[{number}]"
        if block["type"] == "tool_result":
            messages.append(_write_result(block, where, reading, moved))
        else:
            parts.extend(write_part(block, where, reading))
    parts = [*moved, *parts]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        messages.append({"role": "user", "content": parts[0]["text"]})
    elif parts:
        messages.append({"role": "user", "content": parts})


def _write_result(block: dict[str, Any], path: str, reading: Reading, moved: list[Part]) -> Message:
    """A ``tool`` message; images and files go to ``moved`` and leave a word in their place."""
    tool_id = to_upstream(need_text(block, "tool_use_id", path), reading.traits.tool_id_chars_max)
    texts: list[str] = []
    content = block.get("content")
    for number, item in enumerate(_blocks("" if content is None else content, f"{path}.content")):
        where = f"{path}.content[{number}]"
        for part in write_part(item, where, reading):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                texts.append(
                    f"[{'image' if part['type'] == 'image_url' else 'file'} of this result: see the next user message]"
                )
                moved.append(part)
                reading.mapped_once(
                    "messages[].content[].content",
                    "images and files of tool results follow in a user message",
                )
    text = "\n".join(texts)
    if block.get("is_error") is True:
        text = f"Error: {text}"
    message: Message = {"role": "tool", "tool_call_id": tool_id, "content": text}
    mark = block.get("cache_control")
    if mark is not None and reading.traits.cache_control and text:
        message["content"] = [{"type": "text", "text": text, "cache_control": mark}]
    elif mark is not None:
        reading.cache_control_dropped = True
    return message


def _write_assistant(turn: Message, path: str, reading: Reading, messages: list[Message]) -> None:
    texts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    replay = Replay(reading)
    for number, block in enumerate(_blocks(turn.get("content"), f"{path}.content")):
        where, kind = f"{path}.content[{number}]", block["type"]
        if kind == "text":
            text = need_text(block, "text", where)
            if block.get("citations"):
                reading.dropped_once(
                    "messages[].content[].citations", "chat completions have no place for them"
                )
            if text:
                texts.append(reading.with_cache_mark({"type": "text", "text": text}, block))
        elif kind == "tool_use":
            calls.append(_write_call(block, where, reading, replay))
        elif kind == "thinking":
            replay.add_thinking(block, where)
        elif kind == "redacted_thinking":
            replay.add_redacted(block, where)
        else:
            reading.dropped_once(
                f"messages[].content[].{kind}", "only Anthropic's servers can go on from this block"
            )
    message: Message = {"role": "assistant"}
    if any("cache_control" in part for part in texts):
        message["content"] = texts
    elif texts or not calls:
        message["content"] = "".join(part["text"] for part in texts)
    else:
        message["content"] = None
    if calls:
        message["tool_calls"] = calls
    replay.write(message)
    if (
        message.get("content")
        or calls
        or "reasoning_details" in message
        or "reasoning_content" in message
    ):
        messages.append(message)


def _write_call(
    block: dict[str, Any], path: str, reading: Reading, replay: Replay
) -> dict[str, Any]:
    client_id = need_text(block, "id", path)
    name = reading.tool_name(need_text(block, "name", path))
    given = block.get("input")
    if not isinstance(given, dict):
        raise RequestInvalid("Input should be a valid dictionary", path=f"{path}.input")
    upstream_id = to_upstream(client_id, reading.traits.tool_id_chars_max)
    call: dict[str, Any] = {
        "id": upstream_id,
        "type": "function",
        "function": {"name": name, "arguments": write_json(given, f"{path}.input").decode()},
    }
    extra = replay.extra_content(client_id, upstream_id)
    if extra is not None:
        call["extra_content"] = extra
    if block.get("cache_control") is not None:
        reading.cache_control_dropped = True
    return call
