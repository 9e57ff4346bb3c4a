"""How many tokens a Messages prompt has, counted from its text by a tokenizer that is handed in.

Anthropic's own tokenizer is not public. What is known are the figures of its answers: beside the text there is a
fixed cost for a message, for tools, for thinking and for an image, fitted here to recorded requests (``tests/fixtures/
recorded-streams/anthropic-*``: the request beside each stream, and the ``input_tokens`` that Anthropic told). Models of
other makers are taken to cost their text and a few tokens for each message.
"""

import struct
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from typing import Any

import orjson

MESSAGE_TOKENS = 4
PROMPT_TOKENS = 3
BLOCK_TOKENS = 4
TOOLS_TOKENS = 497
SERVER_TOOL_TOKENS = 340
MCP_SERVER_TOKENS = 640
"""What one server with one tool has cost; its tools are only known to whoever asks it."""
TOOL_TOKENS = 5
THINKING_TOKENS = 28
ADAPTIVE_TOKENS = 16
IMAGE_TOKENS_MAX = 1600
IMAGE_EXTRA_TOKENS = 6
IMAGE_UNKNOWN_TOKENS = 1100
PIXELS_PER_TOKEN = 750
"""An image costs width x height / 750 tokens, after it was brought down to about 1600 (Anthropic's page on vision)."""
PDF_PAGE_TOKENS = 2000
PDF_PAGE_BYTES = 60_000
HEAD_CHARS = 44
UNCOUNTED = frozenset({"type", "cache_control", "signature", "media_type", "citations", "is_error"})

CountText = Callable[[str], int]


def count_prompt(body: dict[str, Any], *, is_claude: bool, count: CountText) -> int:
    """The tokens of a Messages request's prompt. ``count`` gives the tokens of one text; whatever has no sense costs nothing."""
    messages = _objects(body.get("messages"))
    # An answer that the client began is gone on with: it opens no turn of its own.
    is_begun = bool(messages) and messages[-1].get("role") == "assistant"
    total = PROMPT_TOKENS + MESSAGE_TOKENS * (len(messages) - is_begun)
    total += sum(map(count, _texts(body.get("system"))))
    for message in messages:
        content = message.get("content")
        total += sum(map(count, _texts(content)))
        total += sum(map(_block_tokens, _blocks(content)))
    total += _tools(body, is_claude=is_claude, count=count)
    if is_claude:
        total += _thinking(body) + MCP_SERVER_TOKENS * len(_objects(body.get("mcp_servers")))
    return total


def _tools(body: dict[str, Any], *, is_claude: bool, count: CountText) -> int:
    tools = _objects(body.get("tools"))
    if not tools:
        return 0
    total = TOOLS_TOKENS if is_claude else 0
    for tool in tools:
        if "input_schema" in tool or tool.get("type") in (None, "custom"):
            shown = {
                name: tool[name] for name in ("name", "description", "input_schema") if name in tool
            }
            total += TOOL_TOKENS + count(orjson.dumps(shown).decode())
        elif is_claude:
            total += SERVER_TOOL_TOKENS
    return total


def _thinking(body: dict[str, Any]) -> int:
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    return {"enabled": THINKING_TOKENS, "adaptive": ADAPTIVE_TOKENS}.get(str(kind), 0)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _blocks(content: Any) -> Iterator[dict[str, Any]]:
    """All blocks of a content, also those within results and documents."""
    for block in _objects(content):
        yield block
        yield from _blocks(block.get("content"))
        source = block.get("source")
        if isinstance(source, dict):
            yield from _blocks(source.get("content"))


def _block_tokens(block: dict[str, Any]) -> int:
    kind, source = block.get("type"), block.get("source")
    source = source if isinstance(source, dict) else {}
    if kind == "image":
        return _image_tokens(source)
    if kind == "document" and source.get("type") in ("base64", "url", "file"):
        size = len(str(source.get("data") or "")) * 3 // 4
        return PDF_PAGE_TOKENS * max(1, size // PDF_PAGE_BYTES)
    return BLOCK_TOKENS if kind in ("tool_use", "tool_result") else 0


def _image_tokens(source: dict[str, Any]) -> int:
    size = image_size(str(source.get("data") or "")[:65536])
    if size is None:
        return IMAGE_UNKNOWN_TOKENS
    width, height = size
    return min(IMAGE_TOKENS_MAX, -(-width * height // PIXELS_PER_TOKEN)) + IMAGE_EXTRA_TOKENS


def image_size(data: str) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, GIF, WebP or JPEG, from the beginning of its base64; None where it does not tell."""
    try:
        head = b64decode(data[: len(data) // 4 * 4])
    except (Base64Error, ValueError):
        return None
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head.startswith(b"GIF8") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return width, height
    if head[8:12] == b"WEBP" and head[12:16] == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    return _jpeg_size(head) if head.startswith(b"\xff\xd8") else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """JPEG tells its size in a start-of-frame segment, behind others whose lengths lead to it."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + max(2, length)
    return None


def _texts(value: Any) -> Iterator[str]:
    """The texts of a content, those that the model reads: names, ids and arguments too, binary data not."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        if value.get("type") == "tool_use":
            yield orjson.dumps(value.get("input")).decode()
        for name, member in value.items():
            if name in UNCOUNTED or (name == "data" and value.get("type") != "text"):
                continue
            if name != "input":
                yield from _texts(member)
