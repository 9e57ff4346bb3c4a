"""What may stand as a header's name and value in a row (RFC 9110, sections 5.1 and 5.5)."""

import re

from django.core.exceptions import ValidationError

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
VALUE = re.compile(r"[\t\x20-\x7e]*")


def validate_header_name(value: str) -> None:
    """Accept a token."""
    if not NAME.fullmatch(value):
        raise ValidationError(
            "A header's name is one word of letters, digits and hyphens, such as X-Title."
        )


def validate_header_value(value: str) -> None:
    """Accept visible ASCII: no line break, which would begin another header."""
    if not VALUE.fullmatch(value):
        raise ValidationError("A header's value is one line of plain ASCII text.")
