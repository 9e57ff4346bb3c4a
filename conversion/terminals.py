"""Text for a terminal: what clients and providers said is shown, and never obeyed."""

import re

_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
"""What a terminal would act on, or what hides or turns around the text beside it."""


def inert(text: str) -> str:
    """The text with control characters written out; line breaks and tabs stay."""
    return _UNSAFE.sub(lambda found: _written_out(found[0]), text)


def _written_out(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
