"""One content block of a user turn or of a tool result as the parts of a chat message."""

from typing import Any

from conversion.anthropic_over_openai.reading import Reading, as_list, as_object, need_text
from conversion.errors import RequestInexpressible, RequestInvalid

Part = dict[str, Any]
PDF = "application/pdf"
DEFAULT_PDF_NAME = "document.pdf"
KIND_CHARS_MAX = 40
"""How much of an unknown block's type is noted: it is the client's own word, of any length."""


def write_part(block: dict[str, Any], path: str, reading: Reading) -> list[Part]:
    """The parts that say what the block says; none for an empty text."""
    kind = block.get("type")
    if kind == "text":
        return _text(block, path, reading)
    if kind == "image":
        return [_image(block, path, reading)]
    if kind == "document":
        return _document(block, path, reading)
    if kind == "search_result":
        return _search_result(block, path, reading)
    if kind == "tool_reference":
        reading.mapped_once(
            "messages[].content[].tool_reference", "sent as text; the tool is offered anyway"
        )
        return [{"type": "text", "text": f"tool: {need_text(block, 'tool_name', path)}"}]
    reading.dropped_once(
        f"messages[].content[].{str(kind)[:KIND_CHARS_MAX]}",
        "chat completions have no such content",
    )
    return []


def _text(block: dict[str, Any], path: str, reading: Reading) -> list[Part]:
    text = need_text(block, "text", path)
    if not text:
        return []
    if block.get("citations"):
        reading.dropped_once(
            "messages[].content[].citations", "chat completions have no place for them"
        )
    return [reading.with_cache_mark({"type": "text", "text": text}, block)]


def _image(block: dict[str, Any], path: str, reading: Reading) -> Part:
    if not reading.traits.images:
        raise RequestInexpressible("this target takes no images", path=path)
    if block.get("transformations"):
        reading.dropped_once(
            "messages[].content[].transformations", "chat completions have no such field"
        )
    url = _url_of(as_object(block.get("source"), f"{path}.source"), f"{path}.source", reading)
    return reading.with_cache_mark({"type": "image_url", "image_url": {"url": url}}, block)


def _url_of(source: dict[str, Any], path: str, reading: Reading) -> str:
    kind = source.get("type")
    if kind == "base64":
        data = need_text(source, "data", path)
        reading.binary_chars += len(data)
        return f"data:{need_text(source, 'media_type', path)};base64,{data}"
    if kind == "url":
        return need_text(source, "url", path)
    if kind == "file":
        raise RequestInexpressible(
            "a file stored at Anthropic cannot be read by this target", path=path
        )
    raise RequestInvalid("Input should be 'base64', 'url' or 'file'", path=f"{path}.type")


def _document(block: dict[str, Any], path: str, reading: Reading) -> list[Part]:
    source = as_object(block.get("source"), f"{path}.source")
    title = block.get("title")
    title = title if isinstance(title, str) else ""
    if as_object(block.get("citations"), f"{path}.citations").get("enabled"):
        reading.dropped_once("messages[].content[].citations", "this target cannot cite a document")
    head = [text for text in (title, block.get("context")) if isinstance(text, str) and text]
    kind = source.get("type")
    if kind == "text":
        texts = [*head, need_text(source, "data", f"{path}.source")]
        return _marked(_texts("\n".join(filter(None, texts))), block, reading)
    if kind == "content":
        return _marked(_document_content(source, head, path, reading), block, reading)
    if not reading.traits.pdf_files:
        raise RequestInexpressible("this target takes no PDF documents", path=path)
    if kind == "base64" and source.get("media_type") != PDF:
        raise RequestInvalid(f"Input should be '{PDF}'", path=f"{path}.source.media_type")
    url = _url_of(source, f"{path}.source", reading)
    file = {"filename": title or DEFAULT_PDF_NAME, "file_data": url}
    parts: list[Part] = [reading.with_cache_mark({"type": "file", "file": file}, block)]
    context = block.get("context")
    if isinstance(context, str) and context:
        parts.insert(0, {"type": "text", "text": context})
    return parts


def _document_content(
    source: dict[str, Any], head: list[str], path: str, reading: Reading
) -> list[Part]:
    parts: list[Part] = [{"type": "text", "text": text} for text in head]
    content = source.get("content")
    if isinstance(content, str):
        return [*parts, *_texts(content)]
    for number, item in enumerate(as_list(content, f"{path}.source.content")):
        where = f"{path}.source.content[{number}]"
        item = as_object(item, where)
        if item.get("type") not in ("text", "image"):  # a document holds no documents
            raise RequestInvalid("Input should be 'text' or 'image'", path=f"{where}.type")
        parts.extend(write_part(item, where, reading))
    return parts


def _texts(text: str) -> list[Part]:
    """The text as a part; none for an empty one, which some upstreams refuse (trap 31)."""
    return [{"type": "text", "text": text}] if text else []


def _marked(parts: list[Part], block: dict[str, Any], reading: Reading) -> list[Part]:
    """The parts, the last of them with the block's cache mark unless it has one of its own."""
    if parts and "cache_control" not in parts[-1]:
        reading.with_cache_mark(parts[-1], block)
    elif not parts and block.get("cache_control") is not None:
        reading.cache_control_dropped = True
    return parts


def _search_result(block: dict[str, Any], path: str, reading: Reading) -> list[Part]:
    texts = [need_text(block, "title", path), need_text(block, "source", path)]
    for number, item in enumerate(as_list(block.get("content"), f"{path}.content")):
        texts.append(
            need_text(
                as_object(item, f"{path}.content[{number}]"), "text", f"{path}.content[{number}]"
            )
        )
    reading.mapped_once("messages[].content[].search_result", "sent as text, without citations")
    return [reading.with_cache_mark({"type": "text", "text": "\n".join(texts)}, block)]
