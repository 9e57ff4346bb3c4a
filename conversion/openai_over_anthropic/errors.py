"""Reads the errors of Anthropic's dialect, in the stream and in the clothes of a success.

The shape is ``{"type": "error", "error": {"type", "message"}}`` (Anthropic's page on errors, read August 2026). Others who
speak the dialect send what they like, so the reader of all shapes reads these too. How the client's dialect says it, and
the statuses of HTTP answers, are known elsewhere.
"""

from typing import Any

from conversion.anthropic_over_openai.errors import read_error, read_error_value
from conversion.errors import UpstreamError


def is_error(value: dict[str, Any]) -> bool:
    """Whether an event or a body tells of an error."""
    return value.get("type") == "error" or bool(value.get("error"))


def read_event_error(value: dict[str, Any]) -> UpstreamError:
    """The error in a decoded event or body."""
    return read_error_value(value)


def read_raw_error(data: bytes) -> UpstreamError:
    """The error in the data of an ``error`` event that is no JSON object."""
    return read_error(None, data)
