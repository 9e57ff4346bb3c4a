"""One source of reasoning out of an answer's three, and its pieces joined again into what the upstream signed."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from conversion.reasoning import pack_details

Detail: TypeAlias = dict[str, Any]

_SHOWN = {"reasoning.text": "text", "reasoning.summary": "summary"}


def read_reasoning(message: dict[str, Any]) -> Iterator[Detail]:
    """The reasoning entries in a message or a delta, in order.

    The same text often comes twice, as ``reasoning`` and in ``reasoning_details``, or as ``reasoning_content``
    beside them (trap 25). Details win, because they can be sent back; plain text becomes an entry without a signature,
    and stands in where the details have no text of their own.
    """
    details = message.get("reasoning_details")
    entries = (
        [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    )
    if not any(shown_text(entry) for entry in entries):
        for key in ("reasoning_content", "reasoning"):
            text = message.get(key)
            if isinstance(text, str) and text:
                yield {"type": "reasoning.text", "text": text}
                break
    yield from entries


def is_shown(detail: Detail) -> bool:
    """Whether an entry belongs in a thinking block; all others are sealed and travel as redacted_thinking."""
    kind = detail.get("type")
    return isinstance(kind, str) and kind in _SHOWN


def shown_text(detail: Detail) -> str:
    """The text of an entry for the client's eyes."""
    kind = detail.get("type")
    text = detail.get(_SHOWN.get(kind, "")) if isinstance(kind, str) else None
    return text if isinstance(text, str) else ""


def is_empty(detail: Detail) -> bool:
    """Whether an entry has nothing to show and nothing to keep, as in the first chunk of some streams."""
    return not shown_text(detail) and not detail.get("signature")


class Thought:
    """One thinking block in the making: the entries of the upstream that it shows.

    Pieces of one entry follow one another: the same type and index. Their texts are joined, and so are pieces of a
    signature (trap 29); a whole one that is merely repeated is not. All other members are the first non-null.
    """

    def __init__(self) -> None:
        self._entries: list[Detail] = []
        self._texts: list[list[str]] = []

    @property
    def signed(self) -> bool:
        """Whether the last entry has its signature: further text is then a thought of its own."""
        return bool(self._entries and self._entries[-1].get("signature"))

    def continues(self, detail: Detail) -> bool:
        """Whether an entry belongs in this block."""
        return not self.signed or not shown_text(detail)

    def add(self, detail: Detail) -> str:
        """Add one piece and return its text for the client's eyes."""
        text = shown_text(detail)
        last = self._entries[-1] if self._entries else {}
        if last and last["type"] == detail["type"] and last.get("index") == detail.get("index"):
            self._texts[-1].append(text)
            _merge(last, detail)
        else:
            self._entries.append(dict(detail))
            self._texts.append([text])
        return text

    def signature(self, *, hidden: bool) -> str:
        """What the client has to carry back. ``hidden`` when the block does not show its text."""
        for entry, texts in zip(self._entries, self._texts, strict=True):
            entry[_SHOWN[entry["type"]]] = "".join(texts)
        return pack_details(self._entries, thinking=None if hidden else self.text())

    def text(self) -> str:
        """The whole text of the block."""
        return "".join(piece for texts in self._texts for piece in texts)


def _merge(entry: Detail, piece: Detail) -> None:
    for key, value in piece.items():
        if value is None or key in ("type", "index", "text", "summary"):
            continue
        known = entry.get(key)
        if known is None:
            entry[key] = value
        elif key == "signature" and isinstance(known, str) and value != known:
            entry[key] = known + str(value)
