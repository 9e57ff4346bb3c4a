"""An assistant's earlier thoughts on their way back: ``reasoning_details`` as thinking blocks.

Anthropic takes its thoughts back unmodified and in order, and refuses what it did not sign. Clients send the entries as
they were told them (``pieces.py``): whole, or piece by piece, the signature an entry of its own.
"""

from collections.abc import Iterator
from typing import Any

from conversion.anthropic_over_openai.reading import as_list
from conversion.anthropic_over_openai.thinking import CLAUDE_FORMAT
from conversion.openai_over_anthropic.reading import Block, Reading
from conversion.reasoning import is_ours

DETAILS = "messages[].reasoning_details"


def write_thoughts(message: dict[str, Any], path: str, reading: Reading) -> list[Block]:
    """The thinking blocks of one assistant message, to stand before all others."""
    for name in ("reasoning", "reasoning_content"):
        if message.get(name) and not message.get("reasoning_details"):
            reading.dropped_once(f"messages[].{name}", "a thought without its signature is refused")
    entries = as_list(message.get("reasoning_details"), f"{path}.reasoning_details")
    if entries and reading.traits.thinking == "none":
        reading.dropped_once(DETAILS, "this target takes no earlier thoughts back")
        return []
    blocks: list[Block] = []
    for block in read_thoughts(entries):
        if block is None:
            reading.dropped_once(DETAILS, "only thoughts that Anthropic signed are taken back")
        else:
            blocks.append(block)
    return blocks


def read_thoughts(entries: list[Any]) -> Iterator[Block | None]:
    """The thinking block that each entry was, once its pieces are put together; None for what Anthropic did not make."""
    return map(_block, _whole(entries))


def _whole(entries: list[Any]) -> list[dict[str, Any]]:
    """The entries, pieces of one put together: the same index, one after the other, up to the signature."""
    whole: list[dict[str, Any]] = []
    pieces: list[list[str]] = []
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        last = whole[-1] if whole else {}
        text, signature = _text(entry.get("text")), _text(entry.get("signature"))
        if (
            entry.get("type") == last.get("type") == "reasoning.text"
            and entry.get("index") == last.get("index")
            and not (last["signature"] and text)
        ):
            pieces[-1].append(text)
            last["signature"] += signature
            last["format"] = last.get("format") or entry.get("format")
        else:
            whole.append({**entry, "signature": signature})
            pieces.append([text])
    for entry, texts in zip(whole, pieces, strict=True):
        entry["text"] = "".join(texts)
    return whole


def _block(entry: dict[str, Any]) -> Block | None:
    """The block that the entry was; None for what Anthropic did not make."""
    if entry.get("format") not in (None, CLAUDE_FORMAT):
        return None
    kind = entry.get("type")
    if kind == "reasoning.text":
        text, signature = entry["text"], entry["signature"]
        if signature and not is_ours(signature):
            return {"type": "thinking", "thinking": text, "signature": signature}
    elif kind == "reasoning.encrypted":
        data = _text(entry.get("data"))
        if data and not is_ours(data):
            return {"type": "redacted_thinking", "data": data}
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
