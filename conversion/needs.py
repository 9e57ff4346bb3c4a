"""What a request needs of whoever answers it, as far as routing chooses by it. Read once, from any client dialect."""

from collections.abc import Iterator
from typing import Any

import msgspec

from conversion.call import Call

CHARS_PER_TOKEN = 4
IMAGE_KINDS = frozenset({"image", "image_url", "input_image"})
IMAGE_TOKENS = 1000


class Needs(msgspec.Struct, frozen=True):
    """``prompt_tokens`` is counted from the body's length at four characters a token, binary data left out."""

    prompt_tokens: int
    images: int = 0
    has_tools: bool = False
    wants_reasoning: bool = False

    @property
    def has_images(self) -> bool:
        """Whether there is an image in the prompt."""
        return self.images > 0


def read_needs(call: Call) -> Needs:
    """What the call needs. Whatever has no sense needs nothing: the converters say what is wrong with it."""
    images, binary_chars = 0, 0
    for part in _parts(call.body):
        if part.get("type") in IMAGE_KINDS:
            images += 1
        binary_chars += _binary_chars(part)
    text_chars = max(0, len(call.raw) - binary_chars)
    return Needs(
        prompt_tokens=max(1, text_chars // CHARS_PER_TOKEN + images * IMAGE_TOKENS),
        images=images,
        has_tools=bool(call.body.get("tools") or call.body.get("functions")),
        wants_reasoning=_wants_reasoning(call.body),
    )


def count_images(body: dict[str, Any]) -> int:
    """The images in a request's messages, those in tool results too: what a provider may charge for one by one.

    To walk the parts takes a microsecond for Claude Code's first request; to search its bytes for the word takes sixty.
    """
    return sum(1 for part in _parts(body) if part.get("type") in IMAGE_KINDS)


def _parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):  # a text, as most short ones have, costs no further call
            yield from _parts_in(content)


def _parts_in(content: Any) -> Iterator[dict[str, Any]]:
    """The parts of a content, with those of the tool results among them."""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict):
            yield part
            if part.get("type") == "tool_result":
                yield from _parts_in(part.get("content"))


def _binary_chars(part: dict[str, Any]) -> int:
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") == "base64":
        return _length(source.get("data"))
    image = part.get("image_url")
    if isinstance(image, dict):
        return _length(image.get("url"))
    file, audio = part.get("file"), part.get("input_audio")
    if isinstance(file, dict):
        return _length(file.get("file_data"))
    return _length(audio.get("data")) if isinstance(audio, dict) else 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


def _wants_reasoning(body: dict[str, Any]) -> bool:
    thinking = body.get("thinking")
    if isinstance(thinking, dict):
        return thinking.get("type") not in (None, "disabled")
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict):
        return reasoning.get("enabled") is not False and reasoning.get("effort") != "none"
    return body.get("reasoning_effort") not in (None, "none")
