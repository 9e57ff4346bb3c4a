"""A chat completions request as one for Ollama's ``/api/chat``.

Sources: Ollama's API documentation and ``api/types.go`` (read August 2026). There, a message's content is one string,
images stand beside it as base64, arguments are objects, results name their tool instead of their call, and all
sampling settings are in ``options``.
"""

from typing import Any

import orjson

from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.report import Report

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
ALIKE = ("model", "keep_alive", "think")
HANDLED = frozenset(
    {
        *OPTIONS, *ALIKE, "messages", "stream", "stream_options", "stop", "tools", "tool_choice", "options",
        "response_format", "reasoning_effort",
    }
)  # fmt: skip
NEXT_EFFORTS = {"minimal": "low", "xhigh": "high"}
"""OpenAI's efforts that Ollama refuses: it knows low, medium, high and max (``api/types.go``)."""
IMAGE_TYPES = ("image/jpeg", "image/jpg", "image/png", "image/webp")
ROLES = {"developer": "system", "function": "tool"}


def write_request(chat: dict[str, Any], report: Report) -> bytes:
    """The body for ``/api/chat``; what it has no place for is noted.

    Raises:
        RequestInvalid: the body breaks the chat dialect.
        RequestInexpressible: it holds content that Ollama takes in no form.
    """
    if chat.get("n") not in (None, 1):
        raise RequestInexpressible("Ollama gives one answer to a request", path="n")
    body: dict[str, Any] = {name: chat[name] for name in ALIKE if chat.get(name) is not None}
    body["messages"] = _messages(chat.get("messages"))
    body["stream"] = chat.get("stream") is True
    options = _options(chat)
    if options:
        body["options"] = options
    _write_tools(chat, body, report)
    _write_format(chat, body)
    effort = chat.get("reasoning_effort")
    if effort is not None:
        body["think"] = _think(effort, report)
    for name, value in chat.items():
        if name not in HANDLED and value is not None and name != "n":
            report.dropped(name, "Ollama has no such field")
    return orjson.dumps(body)


def _think(effort: Any, report: Report) -> Any:
    if effort == "none":
        return False
    if not isinstance(effort, str) or effort not in NEXT_EFFORTS:
        return effort
    known = NEXT_EFFORTS[effort]
    report.mapped("reasoning_effort", f"{effort} is not known here; {known} is asked for")
    return known


def _options(chat: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, own_name in OPTIONS.items():
        if chat.get(name) is not None:
            options[own_name] = chat[name]
    stop = chat.get("stop")
    if stop is not None:
        options["stop"] = [stop] if isinstance(stop, str) else stop
    given = chat.get("options")
    return {**options, **given} if isinstance(given, dict) else options


def _write_tools(chat: dict[str, Any], body: dict[str, Any], report: Report) -> None:
    choice = chat.get("tool_choice")
    if choice == "none":
        return
    if chat.get("tools"):
        body["tools"] = chat["tools"]
    if choice not in (None, "auto"):
        report.dropped("tool_choice", "Ollama cannot be made to call a tool")


def _write_format(chat: dict[str, Any], body: dict[str, Any]) -> None:
    wanted = chat.get("response_format")
    if not isinstance(wanted, dict):
        return
    if wanted.get("type") == "json_object":
        body["format"] = "json"
    elif wanted.get("type") == "json_schema":
        schema = wanted.get("json_schema")
        body["format"] = schema.get("schema", "json") if isinstance(schema, dict) else "json"


def _messages(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list):
        raise RequestInvalid("Field required: a list of messages", path="messages")
    names: dict[str, str] = {}
    return [_message(message, f"messages[{number}]", names) for number, message in enumerate(given)]


def _message(message: Any, path: str, names: dict[str, str]) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise RequestInvalid("Field required: a message with a role", path=path)
    role = ROLES.get(message["role"], message["role"])
    text, images = _content(message.get("content"), f"{path}.content")
    written: dict[str, Any] = {"role": role, "content": text}
    if images:
        written["images"] = images
    if message.get("reasoning_content"):
        written["thinking"] = message["reasoning_content"]
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        written["tool_calls"] = [
            _call(call, f"{path}.tool_calls[{number}]", names) for number, call in enumerate(calls)
        ]
    if role == "tool":
        name = names.get(str(message.get("tool_call_id")), message.get("name"))
        if name:
            written["tool_name"] = name
    return written


def _call(call: Any, path: str, names: dict[str, str]) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RequestInvalid("Field required: a function with a name", path=path)
    names[str(call.get("id"))] = function["name"]
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError as error:
            raise RequestInvalid(
                "Input should be valid JSON", path=f"{path}.function.arguments"
            ) from error
    if not isinstance(arguments, dict):
        raise RequestInvalid("Input should be a JSON object", path=f"{path}.function.arguments")
    return {"function": {"name": function["name"], "arguments": arguments}}


def _content(content: Any, path: str) -> tuple[str, list[str]]:
    """The text of all parts, and the images beside it."""
    if content is None or isinstance(content, str):
        return content or "", []
    if not isinstance(content, list):
        raise RequestInvalid("Input should be a string or a list of parts", path=path)
    texts: list[str] = []
    images: list[str] = []
    for number, part in enumerate(content):
        where = f"{path}[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal") and isinstance(part.get(kind), str):
            texts.append(part[kind])
        elif kind == "image_url":
            images.append(_image(part.get("image_url"), where))
        else:
            raise RequestInexpressible(
                f"Ollama takes no part of the type {str(kind)[:40]}", path=where
            )
    return "\n\n".join(texts), images


def _image(image: Any, path: str) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise RequestInvalid("Field required: an image's URL", path=f"{path}.image_url.url")
    head, comma, data = url.partition(",")
    kind, _, encoding = head.removeprefix("data:").partition(";")
    if not head.startswith("data:") or not comma:
        raise RequestInexpressible(
            "Ollama fetches no images: send this one as a data URL", path=path
        )
    if kind.lower() not in IMAGE_TYPES or encoding != "base64":
        raise RequestInexpressible("Ollama takes JPEG, PNG and WebP images in base64", path=path)
    return data
