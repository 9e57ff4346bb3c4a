"""Takes secrets out of headers and bodies before anybody keeps them. Pure: values in, values out.

Theory of operation. All places that are secret are found in the text as it came: those that look like one
(accounting/secret_shapes.py), the secrets that the caller knows by value, and what the configured patterns find. They
are joined where they overlap, and replaced at once. A body is masked before it is cut: more of it is looked at than is
kept, and a secret that begins before the limit is replaced whole. In a stream a secret may be spread over many events;
accounting/split_secrets.py finds those. What is masked already is left alone, so masking twice is masking once.
"""

import html
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import re2

from accounting.secret_shapes import (
    TAIL_RE,
    VALUE_RES,
    WHOLE_RE,
    compile_bytes,
    is_credential_header,
)
from accounting.split_secrets import Span, is_stream, mask_across_events

MARK = "[masked]"
MARGIN_BYTES = 16 * 1024
"""How much of a body is looked at beyond what is kept of it."""
ROUNDS_MAX = 8
SECRET_CHARS_MIN = 4
KNOWN_TAIL_BYTES_MIN = 8
TRIAL_S_MAX = 0.25
TRIAL_TEXT = (b"The quick brown fox, sk-abcdefghijklmnop0123456789 at 10.0.0.1: \xc3\xa4\n" * 1500)[
    :100_000
]

MaskOnce = Callable[[bytes, int], bytes]
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mask:
    """A configured pattern, compiled, and what is put in the place of its matches."""

    pattern: Any
    replacement: bytes = MARK.encode()


def make_mask(name: str, pattern: str, replacement: str) -> Mask:
    """The pattern compiled; one that cannot be masks everything, since nobody knows what it was to hide."""
    try:
        return Mask(compile_bytes(pattern), replacement.encode())
    except re2.error:
        unread = f"[masked whole: the pattern {name!r} cannot be read]"
        return Mask(compile_bytes("(?s).+"), unread.encode())


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pattern cannot be saved, and the field that is at fault."""

    field: str
    message: str


def problem_with(pattern: str, replacement: str) -> Problem | None:
    """What is wrong with a configured pattern; None when it can be used, and does not take long."""
    try:
        compiled = compile_bytes(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode() if isinstance(reason, bytes) else str(reason)
        return Problem("pattern", f"Not an RE2 expression: {told}")
    if compiled.search(b""):
        return Problem("pattern", "It matches the empty text, which is everywhere.")
    if compiled.search(replacement.encode()):
        return Problem(
            "replacement", "The pattern matches it: a masked text would be masked again."
        )
    began = time.process_time()
    for _match in compiled.finditer(TRIAL_TEXT):
        pass
    if time.process_time() - began > TRIAL_S_MAX:
        return Problem("pattern", "It takes too long on a text of 100,000 characters.")
    return None


class Masker:
    """Masks texts by the built-in shapes, the configured masks, and secrets known by value."""

    __slots__ = ("_known", "_marks", "_masks")

    def __init__(self, masks: Sequence[Mask] = (), secrets: Iterable[str] = ()) -> None:
        self._masks = masks
        self._known = sorted(
            {spelling for secret in secrets for spelling in spellings(secret)},
            key=len,
            reverse=True,
        )
        self._marks = {MARK.encode(), *(mask.replacement for mask in masks)} - {b""}

    def text(self, text: bytes) -> bytes:
        """The text without its secrets."""
        return self._until_none_is_found(text, len(text), self._masked)

    def words(self, text: str) -> str:
        """The same for text that is decoded."""
        masked = self.text(text.encode("utf-8", "surrogatepass"))
        return masked.decode("utf-8", "replace")

    def headers(self, headers: Iterable[tuple[str, str]]) -> list[list[str]]:
        """Names and values; the values of credentials are not there at all."""
        return [
            [name, MARK if is_credential_header(name) else self.words(value)]
            for name, value in headers
        ]

    def body(self, captured: bytes, *, bytes_max: int) -> bytes:
        """What may be kept of a body, of which ``captured`` is the beginning with its margin: masked, then cut."""
        text, limit = unescaped(captured, min(bytes_max, len(captured)))
        return self._until_none_is_found(text, limit, self._masked_body)

    def _until_none_is_found(self, text: bytes, limit: int, mask: MaskOnce) -> bytes:
        """Masked until nothing more is found: what stood close behind a secret may now stand free."""
        before = text[:limit]
        after = mask(text, limit)
        for _round in range(ROUNDS_MAX):
            if after == before:
                break
            before, after = after, mask(after, len(after))
        return after

    def _masked(self, text: bytes, limit: int) -> bytes:
        return _replaced(text, self.spans(text), limit)

    def _masked_body(self, text: bytes, limit: int) -> bytes:
        find_spans = partial(self.spans, may_break_off=True)
        if is_stream(text):
            text, limit = mask_across_events(text, limit, find_spans)
        return _replaced(text, find_spans(text), limit)

    def spans(self, text: bytes, *, may_break_off: bool = False) -> list[Span]:
        """The places that are secret, in order and apart from each other.

        A text that ``may_break_off`` can end in the middle of a secret, too early to be sure that it is one.
        """
        found = list(self._found(text))
        if may_break_off:
            found += self._tail(text)
        kept = sorted(_occurrences(text, self._marks))
        found = [span for span in found if not _is_within(span, kept)]
        found.sort(key=lambda span: span.start)
        return _joined(found)

    def _found(self, text: bytes) -> Iterator[Span]:
        for mask in self._masks:
            for match in mask.pattern.finditer(text):
                if match.end() > match.start():
                    yield Span(match.start(), match.end(), mask.replacement)
        mark = MARK.encode()
        for start, end in _occurrences(text, self._known):
            yield Span(start, end, mark)
        for match in WHOLE_RE.finditer(text):
            yield Span(match.start(), match.end(), mark)
        for shape in VALUE_RES:
            for match in shape.finditer(text):
                yield Span(match.start(1), match.end(1), mark)

    def _tail(self, text: bytes) -> Iterator[Span]:
        mark = MARK.encode()
        match = TAIL_RE.search(text)
        if match:
            yield Span(match.start(), match.end(), mark)
        for known in self._known:
            for length in range(len(known) - 1, KNOWN_TAIL_BYTES_MIN - 1, -1):
                if text.endswith(known[:length]):
                    yield Span(len(text) - length, len(text), mark)
                    break


def spellings(secret: str) -> set[bytes]:
    """How a known secret may stand in a text: as it is, in JSON, in an address, in HTML. Too short ones are none."""
    if len(secret) < SECRET_CHARS_MIN:
        return set()
    raw = secret.encode("utf-8", "surrogateescape")
    told = raw.decode("utf-8", "replace")
    texts = (html.escape(told), quote(told, safe=""), quote_plus(told), quote(told))
    return {raw, orjson.dumps(told)[1:-1], *(text.encode() for text in texts)}


def unescaped(text: bytes, limit: int) -> tuple[bytes, int]:
    r"""The text with the escapes of JSON undone that hide plain characters (``\u0073``, ``\/``), and the limit in it."""
    if rb"\u00" not in text and rb"\/" not in text:
        return text, limit
    cut_escape = text.rfind(b"\\", max(0, limit - 6), limit) if limit < len(text) else -1
    limit = cut_escape if cut_escape >= 0 else limit
    head = _ESCAPE.sub(_plain, text[:limit])
    return head + _ESCAPE.sub(_plain, text[limit:]), len(head)


def _plain(match: "re.Match[bytes]") -> bytes:
    code, other = match.groups()
    if other is not None:
        return b"/" if other == b"/" else match[0]
    char = bytes([int(code, 16)])
    return match[0] if char in b'"\\\x7f' else char


def _occurrences(text: bytes, words: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    for word in words:
        at = text.find(word)
        while at >= 0:
            yield at, at + len(word)
            at = text.find(word, at + len(word))


def _is_within(span: Span, kept: Sequence[tuple[int, int]]) -> bool:
    """Whether the span lies in one of the places, which are in order."""
    at = bisect_right(kept, span.start, key=lambda place: place[0]) - 1
    return at >= 0 and span.end <= kept[at][1]


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in spans:
        if joined and span.start < joined[-1].end:
            before = joined[-1]
            joined[-1] = Span(before.start, max(before.end, span.end), before.replacement)
        else:
            joined.append(span)
    return joined


def _replaced(text: bytes, spans: Iterable[Span], limit: int) -> bytes:
    """The text up to the limit; a span that begins before it is replaced whole."""
    pieces = []
    at = 0
    for span in spans:
        if span.start >= limit:
            break
        pieces += [text[at : span.start], span.replacement]
        at = span.end
    pieces.append(text[at:limit])
    return b"".join(pieces)
