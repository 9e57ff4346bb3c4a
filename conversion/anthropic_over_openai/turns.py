"""System and messages: turns of content blocks as chat messages.

One user turn with tool results becomes several messages, in this order: a ``tool`` message for each result, right
after the assistant's calls, then one user message with everything else, to which images and files of the results
are moved, because a ``tool`` message holds text only. conversation.py brings together what is spread over several
turns of one role.
"""

from typing import Any

from conversion.anthropic_over_openai.conversation import Conversation, Message
from conversion.anthropic_over_openai.parts import KIND_CHARS_MAX, Part, write_part
from conversion.anthropic_over_openai.reading import Reading, need_text, write_json
from conversion.anthropic_over_openai.thinking import Replay
from conversion.errors import RequestInvalid
from conversion.tool_ids import to_upstream

ATTRIBUTION = "x-anthropic-billing-header:"
ASSISTANT_SAYS = ("content", "tool_calls", "reasoning_details", "reasoning_content")
DIRECTIVES = frozenset({"tool_addition", "tool_removal"})
"""What a system turn may hold beside text (anthropic 2.11.0, ``types/beta/beta_system_message_param.py``)."""


def write_messages(body: dict[str, Any], reading: Reading) -> list[Message]:
    """All of the conversation, the system prompt first."""
    if (question := _lone_text(body)) is not None:
        return [question]
    conversation = Conversation()
    system = _write_system(body.get("system"), "system", reading)
    if system is not None:
        conversation.add(system)
    turns = body["messages"]
    last_user = _last_user(turns)
    for number, turn in enumerate(turns):
        path = f"messages[{number}]"
        if not isinstance(turn, dict):
            raise RequestInvalid("Input should be a valid dictionary", path=path)
        role = turn.get("role")
        if role == "user":
            _write_user(turn, path, reading, conversation)
        elif role == "assistant":
            _write_assistant(turn, path, reading, conversation)
        elif role == "system":
            message = _write_system_turn(turn, path, reading, is_answered=number < last_user)
            if message is not None:
                conversation.add(message)
        else:
            raise RequestInvalid(
                "Input should be 'user', 'assistant' or 'system'", path=f"{path}.role"
            )
    messages = conversation.all()
    if len(messages) == (system is not None):
        raise RequestInvalid("at least one message is required", path="messages")
    return messages


def _lone_text(body: dict[str, Any]) -> Message | None:
    """The message of a body that holds one text of the user and nothing else, as short ones do; None of any other."""
    turns = body["messages"]
    if len(turns) != 1 or "system" in body:
        return None
    turn = turns[0]
    if not isinstance(turn, dict) or turn.get("role") != "user":
        return None
    content = turn.get("content")
    return {"role": "user", "content": content} if isinstance(content, str) and content else None


def _last_user(turns: list[Any]) -> int:
    """Where the last user turn is; -1 without any."""
    for number in range(len(turns) - 1, -1, -1):
        if isinstance(turns[number], dict) and turns[number].get("role") == "user":
            return number
    return -1


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
        if block["type"] in DIRECTIVES and path != "system":
            reading.dropped_once(
                f"messages[].content[].{block['type']}", "the same tools are offered all along"
            )
            continue
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


def _write_system_turn(
    turn: Message, path: str, reading: Reading, *, is_answered: bool
) -> Message | None:
    """A system turn between the others; None when the model is to see nothing of it.

    ``is_answered`` says that a user turn follows. Such turns may have an effort of their own instead of text, and may
    be for one user turn only (anthropic 2.11.0, ``types/beta/beta_system_message_param.py``).
    """
    content = turn.get("content")
    if turn.get("output_config") is not None:
        reading.dropped_once("messages[].output_config", "effort is set for the whole request")
        if content is None:
            return None
    if is_answered and turn.get("clear_at") == "next_user_message":
        reading.mapped_once("messages[].clear_at", "left out, because a user turn follows")
        return None
    return _write_system(content, f"{path}.content", reading)


def _write_user(turn: Message, path: str, reading: Reading, conversation: Conversation) -> None:
    content = turn.get("content")
    if isinstance(content, str):
        if content:  # trap 31: some upstreams refuse an empty text
            conversation.add({"role": "user", "content": content})
        return
    parts: list[Part] = []
    moved: list[Part] = []
    results: list[Message] = []
    for number, block in enumerate(_blocks(content, f"{path}.content")):
        where = f"{path}.content[{number}]"
        if block["type"] == "tool_result":
            results.append(_write_result(block, where, reading, moved))
        else:
            parts.extend(write_part(block, where, reading))
    if results:
        conversation.add_results(results)
    parts = [*moved, *parts]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        conversation.add({"role": "user", "content": parts[0]["text"]})
    elif parts:
        conversation.add({"role": "user", "content": parts})


def _write_result(block: dict[str, Any], path: str, reading: Reading, moved: list[Part]) -> Message:
    """A ``tool`` message; images and files go to ``moved`` and leave a word in their place."""
    tool_id = to_upstream(need_text(block, "tool_use_id", path), reading.traits.tool_id_chars_max)
    texts: list[str] = []
    mark = None
    content = block.get("content")
    for number, item in enumerate(_blocks("" if content is None else content, f"{path}.content")):
        where = f"{path}.content[{number}]"
        for part in write_part(item, where, reading):
            if part["type"] == "text":
                texts.append(part["text"])
                mark = part.get("cache_control", mark)
            else:
                kind = "image" if part["type"] == "image_url" else "file"
                texts.append(f"[{kind} of this result: see the next user message]")
                moved.append(part)
                reading.mapped_once(
                    "messages[].content[].content",
                    "images and files of tool results follow in a user message",
                )
    text = "\n".join(texts)
    if block.get("is_error") is True:
        text = f"Error: {text}"
    # A tool message is one text: a mark inside the result moves to its end, so that what was cached still is.
    part = reading.with_cache_mark({"type": "text", "text": text}, block)
    if mark is not None:
        part.setdefault("cache_control", mark)
    if "cache_control" not in part:
        return {"role": "tool", "tool_call_id": tool_id, "content": text}
    if not text:
        reading.cache_control_dropped = True
    return {"role": "tool", "tool_call_id": tool_id, "content": [part] if text else text}


def _write_assistant(
    turn: Message, path: str, reading: Reading, conversation: Conversation
) -> None:
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
                f"messages[].content[].{kind[:KIND_CHARS_MAX]}",
                "only Anthropic's servers can go on from this block",
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
    if any(message.get(name) for name in ASSISTANT_SAYS):
        conversation.add_assistant(message)


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
    for name in ("caller", "toolset_name"):
        if block.get(name) is not None:
            reading.dropped_once(f"messages[].content[].{name}", "a tool call has no such field")
    return call
