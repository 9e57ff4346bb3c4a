"""The messages of a chat as a system prompt and turns of content blocks.

The Messages API wants the results of all calls at the beginning of the turn right behind them, so consecutive ``tool``
messages become one user turn, which whatever the user says next goes on with. A call without a result, and a result
without a call, are refused here in words that name the id: the upstream's would name a block that the client
never wrote.

System messages before all others are the system prompt. Later ones stay in their place: as system turns where the target
takes them there (after a user turn, before an assistant's or at the end), else as text of the user's turn.
"""

from typing import Any

import orjson

from conversion.anthropic_over_openai.reading import as_list, as_object, need_text
from conversion.errors import RequestInvalid
from conversion.openai_over_anthropic.parts import write_part
from conversion.openai_over_anthropic.reading import Block, Reading
from conversion.openai_over_anthropic.thoughts import write_thoughts

Turn = dict[str, Any]
SYSTEM_ROLES = frozenset({"system", "developer"})
THOUGHTS = frozenset({"thinking", "redacted_thinking"})
OPENING = "(The assistant speaks first.)"
READ = frozenset(
    {
        "role", "content", "cache_control", "refusal", "tool_calls", "function_call", "tool_call_id", "audio",
        "reasoning", "reasoning_content", "reasoning_details",
    }
)  # fmt: skip


def write_turns(messages: list[Any], reading: Reading) -> tuple[list[Block], list[Turn]]:
    """The system prompt and the turns.

    Raises:
        RequestInvalid: a message breaks the dialect, or calls and results do not belong together.
        RequestInexpressible: a message holds what the target has no way to take.
    """
    conversation = _Conversation(reading)
    for number, message in enumerate(messages):
        path = f"messages[{number}]"
        if not isinstance(message, dict):
            raise RequestInvalid("Input should be a valid dictionary", path=path)
        conversation.add(message, path)
    conversation.need_results()
    turns = _settled(conversation.turns, reading)
    if not turns and conversation.system:
        reading.report.mapped("messages", "sent as the user's, because nobody says anything else")
        turns, conversation.system = [{"role": "user", "content": conversation.system}], []
    if not turns:
        raise RequestInvalid("at least one message with content is required", path="messages")
    if turns[0]["role"] == "assistant":
        reading.report.mapped("messages", "a user turn is put before the assistant's first")
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
    _trim_prefill(turns, reading)
    reading.is_open_loop = _is_open_loop(turns)
    return conversation.system, turns


class _Conversation:
    """What has been read so far; ``_waiting`` holds the calls that have no result yet, by the client's id."""

    def __init__(self, reading: Reading) -> None:
        self.system: list[Block] = []
        self.turns: list[Turn] = []
        self._reading = reading
        self._waiting: dict[str, str] = {}
        self._calls_path = ""

    def add(self, message: dict[str, Any], path: str) -> None:
        """Read one message."""
        role = message.get("role")
        if role not in ("tool", "function"):
            self.need_results()
        if isinstance(role, str) and role in SYSTEM_ROLES:
            self._add_system(message, path)
        elif role == "user":
            self._extend("user", self._content(message, path))
        elif role == "assistant":
            self._add_assistant(message, path)
        elif role == "tool":
            self._add_result(message, path, need_text(message, "tool_call_id", path))
        elif role == "function":  # deprecated: the results of function_call
            self._add_result(message, path, _function_id(need_text(message, "name", path)))
        else:
            raise RequestInvalid(
                "Input should be 'system', 'developer', 'user', 'assistant' or 'tool'",
                path=f"{path}.role",
            )
        self._note_others(message)

    def need_results(self) -> None:
        """Refuse calls that nobody answered."""
        for client_id in self._waiting:
            raise RequestInvalid(
                f"the call '{client_id}' has no result: a tool message for it must follow right behind",
                path=self._calls_path,
            )

    def _note_others(self, message: dict[str, Any]) -> None:
        for name, value in message.items():
            known = name in READ or (name == "name" and message["role"] == "function")
            if not known and value not in (None, [], ""):
                self._reading.dropped_once(f"messages[].{name}", "a turn has no such field")

    def _extend(self, role: str, blocks: list[Block]) -> None:
        """Go on with the last turn if it is of this role, else begin a turn; nothing for no blocks."""
        if not blocks:
            self._reading.dropped_once("messages[].content", "an empty message is no turn")
        elif self.turns and self.turns[-1]["role"] == role != "assistant":
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _content(self, message: dict[str, Any], path: str) -> list[Block]:
        """The blocks of a message, the last of them with the message's own cache mark."""
        content, where = message.get("content"), f"{path}.content"
        blocks: list[Block] = []
        if isinstance(content, str):
            blocks = self._reading.text_block(content, {}, where)
        elif isinstance(content, list):
            for number, part in enumerate(content):
                blocks += write_part(part, f"{where}[{number}]", self._reading)
        else:
            raise RequestInvalid("Field required: a string or a list of parts", path=where)
        return self._marked(blocks, message, path)

    def _marked(self, blocks: list[Block], message: dict[str, Any], path: str) -> list[Block]:
        if blocks and blocks[-1]["type"] not in THOUGHTS and "cache_control" not in blocks[-1]:
            self._reading.with_cache_mark(blocks[-1], message, path)
        return blocks

    def _add_system(self, message: dict[str, Any], path: str) -> None:
        blocks = self._content(message, path)
        for number, block in enumerate(blocks):
            if block["type"] != "text":
                raise RequestInvalid(
                    "Input should be a text part", path=f"{path}.content[{number}]"
                )
        if self.turns:
            self._extend("system", blocks)
        else:
            self.system += blocks

    def _add_result(self, message: dict[str, Any], path: str, client_id: str) -> None:
        upstream_id = self._waiting.pop(client_id, None)
        if upstream_id is None:
            where = "tool_call_id" if message["role"] == "tool" else "name"
            raise RequestInvalid(
                f"no call '{client_id}' waits for a result in the message before",
                path=f"{path}.{where}",
            )
        block: Block = {"type": "tool_result", "tool_use_id": upstream_id}
        # A result may be nothing at all, which the deprecated role says with null.
        if message.get("content") is not None:
            blocks = self._content({**message, "cache_control": None}, path)
            is_plain = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
            block["content"] = blocks[0]["text"] if is_plain else blocks
        self._extend("user", [self._reading.with_cache_mark(block, message, path)])

    def _add_assistant(self, message: dict[str, Any], path: str) -> None:
        if message.get("audio") is not None:
            self._reading.dropped_once("messages[].audio", "audio is stored at OpenAI")
        thoughts = write_thoughts(message, path, self._reading)
        blocks = [*self._said(message, path), *self._calls(message, path)]
        if blocks:
            self._extend("assistant", self._marked([*thoughts, *blocks], message, path))
        elif thoughts:
            self._reading.dropped_once(
                "messages[].reasoning_details", "a turn cannot end with a thought"
            )
        else:
            self._reading.dropped_once("messages[].content", "an empty message is no turn")

    def _said(self, message: dict[str, Any], path: str) -> list[Block]:
        blocks: list[Block] = []
        content, where = message.get("content"), f"{path}.content"
        if isinstance(content, str):
            blocks += self._reading.text_block(content, {}, where)
        else:
            for number, part in enumerate(as_list(content, where)):
                blocks += self._said_part(
                    as_object(part, f"{where}[{number}]"), f"{where}[{number}]"
                )
        refusal = message.get("refusal")
        if isinstance(refusal, str):
            blocks += self._reading.text_block(refusal, {}, f"{path}.refusal")
        return blocks

    def _said_part(self, part: dict[str, Any], path: str) -> list[Block]:
        kind = part.get("type")
        if kind in ("text", "refusal"):
            return self._reading.text_block(need_text(part, kind, path), part, path)
        self._reading.dropped_once(
            f"messages[].content[].{str(kind)[:40]}", "an assistant's turn holds text only"
        )
        return []

    def _calls(self, message: dict[str, Any], path: str) -> list[Block]:
        self._calls_path = path
        blocks = []
        for number, call in enumerate(as_list(message.get("tool_calls"), f"{path}.tool_calls")):
            where = f"{path}.tool_calls[{number}]"
            call = as_object(call, where)
            if call.get("type") not in (None, "", "function"):
                raise RequestInvalid("Input should be 'function'", path=f"{where}.type")
            client_id = need_text(call, "id", where)
            block = self._call(call.get("function"), client_id, f"{where}.function")
            blocks.append(self._reading.with_cache_mark(block, call, where))
        function = message.get("function_call")
        if function is not None:
            where = f"{path}.function_call"
            name = need_text(as_object(function, where), "name", where)
            blocks.append(self._call(function, _function_id(name), where))
        return blocks

    def _call(self, function: Any, client_id: str, path: str) -> Block:
        function = as_object(function, path)
        name = self._reading.tool_name(need_text(function, "name", path))
        if client_id in self._waiting:
            raise RequestInvalid(f"two calls have the id '{client_id}'", path=path)
        self._waiting[client_id] = self._reading.tool_id(client_id)
        return {
            "type": "tool_use",
            "id": self._waiting[client_id],
            "name": name,
            "input": _read_arguments(function.get("arguments"), f"{path}.arguments"),
        }


def _function_id(name: str) -> str:
    """The deprecated ``function_call`` has no id; its result is found by the function's name."""
    return f"function_{name}"


def _read_arguments(arguments: Any, path: str) -> dict[str, Any]:
    """The arguments as the object that they are the JSON of; an empty text is no arguments."""
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, dict):  # Ollama's clients send them so
        return arguments
    if not isinstance(arguments, str):
        raise RequestInvalid("Input should be a string that holds a JSON object", path=path)
    if not arguments.strip():
        return {}
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError as error:
        raise RequestInvalid(f"the arguments are not valid JSON: {error}", path=path) from error
    if not isinstance(value, dict):
        raise RequestInvalid("the arguments should be a JSON object", path=path)
    return value


def _settled(turns: list[Turn], reading: Reading) -> list[Turn]:
    """The turns, system turns only where the target takes them."""
    settled: list[Turn] = []
    for number, turn in enumerate(turns):
        role = turn["role"]
        if role == "system":
            follows_user = bool(settled) and settled[-1]["role"] == "user"
            is_answered = number + 1 == len(turns) or turns[number + 1]["role"] == "assistant"
            if not (reading.traits.system_turns and follows_user and is_answered):
                reading.mapped_once(
                    "messages[].role", "a later system message is sent as text of the user's turn"
                )
                turn = {"role": "user", "content": [_as_user_text(b) for b in turn["content"]]}
                role = "user"
        if role == "user" and settled and settled[-1]["role"] == "user":
            settled[-1]["content"] += turn["content"]
        else:
            settled.append(turn)
    return settled


def _as_user_text(block: Block) -> Block:
    return {**block, "text": f"<system>\n{block['text']}\n</system>"}


def _trim_prefill(turns: list[Turn], reading: Reading) -> None:
    """Take white space off the end of a turn that the model is to go on with: Anthropic refuses it."""
    block = turns[-1]["content"][-1]
    if turns[-1]["role"] == "assistant" and block["type"] == "text":
        trimmed = block["text"].rstrip()
        if trimmed != block["text"]:
            block["text"] = trimmed
            reading.report.mapped(
                "messages[].content", "white space at the end of the last turn is not taken"
            )


def _is_open_loop(turns: list[Turn]) -> bool:
    if turns[-1]["role"] == "assistant":
        return True
    last = next(turn for turn in reversed(turns) if turn["role"] == "user")
    if last["content"][0]["type"] != "tool_result":
        return False
    calls = next(turn for turn in reversed(turns) if turn["role"] == "assistant")
    return calls["content"][0]["type"] not in THOUGHTS
