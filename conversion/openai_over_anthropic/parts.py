"""One part of a message's content as the block of a turn."""

import binascii
from base64 import b64decode
from typing import Any
from urllib.parse import unquote_to_bytes

from conversion.anthropic_over_openai.reading import as_object, need_text
from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.openai_over_anthropic.reading import Block, Reading

PDF = "application/pdf"
IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Anthropic's page on vision, read August 2026."""
KIND_CHARS_MAX = 40


def write_part(part: Any, path: str, reading: Reading) -> list[Block]:
    """The blocks that say what the part says; none for an empty text.

    Raises:
        RequestInvalid: the part breaks the dialect.
        RequestInexpressible: Messages have no such content.
    """
    if not isinstance(part, dict):
        raise RequestInvalid("Input should be a content part", path=path)
    kind = part.get("type")
    if kind == "text":
        return reading.text_block(need_text(part, "text", path), part, path)
    if kind == "image_url":
        return [reading.with_cache_mark(_image(part, path, reading), part, path)]
    if kind == "file":
        blocks = _file(part, path, reading)
        return [reading.with_cache_mark(block, part, path) for block in blocks]
    if not isinstance(kind, str):
        raise RequestInvalid("Field required: a string", path=f"{path}.type")
    raise RequestInexpressible(f"this target takes no {kind[:KIND_CHARS_MAX]}", path=path)


def _image(part: dict[str, Any], path: str, reading: Reading) -> Block:
    given = part.get("image_url")
    where = f"{path}.image_url"
    if isinstance(given, str):  # the SDKs of others allow the short form
        url = given
    else:
        given = as_object(given, where)
        url = need_text(given, "url", where)
        if given.get("detail") not in (None, "auto"):
            reading.dropped_once(
                "messages[].content[].image_url.detail", "images are seen as they are"
            )
        where = f"{where}.url"
    return _image_block(url, where, reading)


def _image_block(url: str, path: str, reading: Reading) -> Block:
    if not reading.traits.images:
        raise RequestInexpressible("this target takes no images", path=path)
    if _is_web_address(url):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = read_data_url(url, path)
    media_type = "image/jpeg" if media_type == "image/jpg" else media_type
    if media_type not in IMAGE_TYPES:
        raise RequestInvalid("the image should be a JPEG, PNG, GIF or WebP", path=path)
    if isinstance(data, bytes):
        raise RequestInvalid("an image in a data URL should be in base64", path=path)
    reading.binary_chars += len(data)
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": media_type, "data": data},
    }


def _file(part: dict[str, Any], path: str, reading: Reading) -> list[Block]:
    where = f"{path}.file"
    file = as_object(part.get("file"), where)
    if file.get("file_id") is not None:
        raise RequestInexpressible(
            "a file stored at OpenAI cannot be read by this target", path=f"{where}.file_id"
        )
    url, name = need_text(file, "file_data", where), file.get("filename")
    title = {"title": name} if isinstance(name, str) and name else {}
    where = f"{where}.file_data"
    if _is_web_address(url):  # OpenRouter's page on PDF inputs, August 2026
        _need_pdf_files(where, reading)
        return [{"type": "document", "source": {"type": "url", "url": url}, **title}]
    if url.startswith("JVBERi0"):  # "%PDF-" in base64, as OpenAI's reference describes file_data
        url = f"data:{PDF};base64,{url}"
    media_type, data = read_data_url(url, where)
    if media_type in IMAGE_TYPES:
        return [_image_block(url, where, reading)]
    if media_type == PDF and isinstance(data, str):
        _need_pdf_files(where, reading)
        reading.binary_chars += len(data)
        source = {"type": "base64", "media_type": PDF, "data": data}
        return [{"type": "document", "source": source, **title}]
    if not media_type.startswith("text/"):
        raise RequestInexpressible("this target takes PDF and text files", path=where)
    text = _decoded(data, where)
    if not text.strip():
        reading.dropped_once("messages[].content[].file", "a file without text is not taken")
        return []
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return [{"type": "document", "source": source, **title}]


def _need_pdf_files(path: str, reading: Reading) -> None:
    if not reading.traits.pdf_files:
        raise RequestInexpressible("this target takes no PDF documents", path=path)


def _is_web_address(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def read_data_url(url: str, path: str) -> tuple[str, str | bytes]:
    """(media type, base64 as it came, or the bytes of a data URL that has none) (RFC 2397).

    Raises:
        RequestInvalid: it is no data URL.
    """
    head, comma, data = url.partition(",")
    scheme, _, described = head.partition(":")
    if scheme.lower() != "data" or not comma:
        raise RequestInvalid("Input should be a data URL or a web address", path=path)
    media_type, *settings = described.split(";")
    media_type = media_type.strip().lower() or "text/plain"
    if any(setting.strip().lower() == "base64" for setting in settings):
        return media_type, data
    return media_type, unquote_to_bytes(data)


def _decoded(data: str | bytes, path: str) -> str:
    try:
        return (data if isinstance(data, bytes) else b64decode(data, validate=True)).decode()
    except (binascii.Error, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise RequestInvalid("the text should be UTF-8, in base64", path=path) from error
