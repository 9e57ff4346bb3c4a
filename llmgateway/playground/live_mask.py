"""Masks a text while it comes, so that a secret is not seen either which arrives in pieces."""

from accounting.masking import KNOWN_TAIL_BYTES_MIN, Masker

HELD_BYTES = KNOWN_TAIL_BYTES_MIN - 1
"""How much is always held: of a secret's beginning, that which is too short to be known for one."""


class LiveMask:
    """One for each text that grows."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = b""

    def feed(self, piece: str) -> str:
        """What may be shown now; the rest is held until more has come."""
        text = self._held + piece.encode("utf-8", "replace")
        limit = max(0, len(text) - HELD_BYTES)
        for span in self._masker.spans(text, may_break_off=True):
            if span.end >= limit:  # it may go on
                limit = min(limit, span.start)
        while 0 < limit < len(text) and text[limit] & 0xC0 == 0x80:
            limit -= 1  # not within a character
        shown, self._held = text[:limit], text[limit:]
        return self._masker.text(shown).decode("utf-8", "replace")

    def finish(self) -> str:
        """What is left."""
        left, self._held = self._held, b""
        return self._masker.text(left).decode("utf-8", "replace")
