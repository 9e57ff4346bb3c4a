"""Reads the errors of OpenAI-like upstreams, from HTTP answers, from streams and from within choices.

Nobody agrees on the shape: OpenAI's ``{"error": {message, type, code}}``, OpenRouter's numbers as code with the
provider's own error as text in ``metadata.raw``, Ollama's ``{"error": "text"}``, FastAPI's ``detail``, vLLM's flat
object, Google's list, a proxy's HTML. This module finds the upstream's sentence in all of them and decides whose
fault it is. It knows nothing of how the client's dialect says it.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from conversion.anthropic_over_openai.overflow import WITHOUT_NUMBERS, read_overflow
from conversion.errors import (
    PromptTooLong,
    UpstreamBroken,
    UpstreamError,
    UpstreamForbidden,
    UpstreamModelUnknown,
    UpstreamOutOfCredit,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnauthorized,
)

MESSAGE_CHARS_MAX = 500

_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: UpstreamUnauthorized,
    402: UpstreamOutOfCredit,
    403: UpstreamUnauthorized,
    404: UpstreamModelUnknown,
    408: UpstreamTimedOut,
    413: UpstreamTooLarge,
    429: UpstreamRateLimited,
    503: UpstreamOverloaded,
    504: UpstreamTimedOut,
    524: UpstreamTimedOut,  # Cloudflare's own, in front of many upstreams
    529: UpstreamOverloaded,
}

# Words in ``code``, ``type``, ``status`` and ``metadata.error_type``: OpenAI, OpenRouter's page on errors, Anthropic,
# Google. A word of this table is trusted over the HTTP status.
_BY_WORD: dict[str, type[UpstreamError]] = {
    "context_length_exceeded": PromptTooLong,
    "context_window_exceeded": PromptTooLong,
    "exceed_context_size_error": PromptTooLong,
    "prompt_too_long": PromptTooLong,
    "invalid_api_key": UpstreamUnauthorized,
    "authentication_error": UpstreamUnauthorized,
    "unauthenticated": UpstreamUnauthorized,
    "permission_error": UpstreamUnauthorized,
    "permission_denied": UpstreamUnauthorized,
    "insufficient_quota": UpstreamOutOfCredit,
    "insufficient_credits": UpstreamOutOfCredit,
    "billing_hard_limit_reached": UpstreamOutOfCredit,
    "billing_error": UpstreamOutOfCredit,
    "payment_required": UpstreamOutOfCredit,
    "content_policy_violation": UpstreamForbidden,
    "content_filter": UpstreamForbidden,
    "model_not_found": UpstreamModelUnknown,
    "not_found_error": UpstreamModelUnknown,
    "no_endpoints": UpstreamModelUnknown,
    "privacy_restricted": UpstreamModelUnknown,
    "request_too_large": UpstreamTooLarge,
    "timeout": UpstreamTimedOut,
    "timeout_error": UpstreamTimedOut,
    "deadline_exceeded": UpstreamTimedOut,
    "rate_limit_exceeded": UpstreamRateLimited,
    "rate_limit_error": UpstreamRateLimited,
    "capacity_exhausted": UpstreamRateLimited,
    "resource_exhausted": UpstreamRateLimited,
    "overloaded_error": UpstreamOverloaded,
    "overloaded": UpstreamOverloaded,
    "service_unavailable": UpstreamOverloaded,
    "temporarily_unavailable": UpstreamOverloaded,
    "unavailable": UpstreamOverloaded,
}

# Words that say little: they decide only where no status does.
_BY_VAGUE_WORD: dict[str, type[UpstreamError]] = {
    "invalid_request_error": UpstreamRejected,
    "invalid_argument": UpstreamRejected,
    "badrequesterror": UpstreamRejected,
    "bad_request": UpstreamRejected,
    "server_error": UpstreamBroken,
    "api_error": UpstreamBroken,
}

# An overflow is only looked for where the request itself may be at fault, or nobody says who is.
_NOT_ABOUT_LENGTH = (401, 402, 403, 404, 408, 429, 503, 504, 524, 529)

_HTML = re.compile(r"<\s*(?:!doctype|html|head|body|title|h1|center)\b", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")
_SECRET = re.compile(
    r"(?P<kind>\bsk-|\bgsk_|\bxai-|\bpk-|\bAIza|\bAKIA|\beyJ|\bBearer )[\w\-.*~+/=]{6,}"
)


def read_error(
    status: int | None, body: bytes, retry_after_s: float | None = None
) -> UpstreamError:
    """The error in an upstream's error answer. A status below 400 counts as unknown."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = body.decode("utf-8", errors="replace")
    return read_error_value(value, status=status, retry_after_s=retry_after_s)


def read_error_value(
    value: Any, *, status: int | None = None, retry_after_s: float | None = None
) -> UpstreamError:
    """The error in decoded JSON: a whole body, a chunk, or the value of its ``error``."""
    layers = list(_layers(value))
    if status is None or status < 400:
        status = next((found for layer in layers if (found := _status(layer))), None)
    words = [word for layer in layers for word in _words(layer)]
    sentence = _sentence(layers)
    overflow = None if status in _NOT_ABOUT_LENGTH else read_overflow(" ".join(_texts(layers)))
    kind = PromptTooLong if overflow else _kind(status, words, layers)
    if kind is PromptTooLong:
        message = overflow or WITHOUT_NUMBERS
    else:
        message = sentence or _without_sentence(status)
    return kind(
        message,
        upstream_status=status,
        upstream_code=words[0] if words else "",
        retry_after_s=_retry_after_s(layers) if retry_after_s is None else retry_after_s,
    )


def _kind(
    status: int | None, words: list[str], layers: list[dict[str, Any]]
) -> type[UpstreamError]:
    for word in words:
        if word.lower() in _BY_WORD:
            return _BY_WORD[word.lower()]
    if status == 403 and any("reasons" in layer or "flagged_input" in layer for layer in layers):
        return UpstreamForbidden  # OpenRouter's moderation tells what it flagged
    if status is None:
        vague = (_BY_VAGUE_WORD[word.lower()] for word in words if word.lower() in _BY_VAGUE_WORD)
        return next(vague, UpstreamBroken)
    return _BY_STATUS.get(status, UpstreamRejected if status < 500 else UpstreamBroken)


def _layers(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects that may tell something, outermost first; text is wrapped as ``{"message": text}``."""
    if depth > 5:  # nobody nests deeper in earnest
        return
    if isinstance(value, list):
        for entry in value[:3]:
            yield from _layers(entry, depth + 1)
    elif isinstance(value, str):
        parsed = _json_in(value)
        if parsed is not None:
            yield from _layers(parsed, depth + 1)
        elif value.strip():
            yield {"message": value}
    elif isinstance(value, dict):
        yield value
        for key in ("error", "detail", "errors", "metadata", "raw"):
            inner = value.get(key)
            if inner:
                yield from _layers(inner, depth + 1)


def _json_in(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _status(layer: dict[str, Any]) -> int | None:
    for key in ("code", "status", "status_code"):
        value = layer.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _words(layer: dict[str, Any]) -> Iterator[str]:
    for key in ("code", "type", "status", "error_type", "provider_code"):
        value = layer.get(key)
        if isinstance(value, str) and value and not value.isdigit() and value != "error":
            yield value[:100]


def _texts(layers: list[dict[str, Any]]) -> Iterator[str]:
    for layer in layers:
        for key in ("message", "msg"):
            value = layer.get(key)
            if isinstance(value, str) and value.strip():
                yield value


def _sentence(layers: list[dict[str, Any]]) -> str:
    """The innermost sentence, because OpenRouter's own is but "Provider returned error"."""
    texts = [clean for text in _texts(layers) if (clean := _cleaned(text))]
    if not texts:
        return ""
    names = [layer.get("provider_name") for layer in layers]
    name = next((_cleaned(name) for name in names if isinstance(name, str)), "")
    return _cut(f"{name}: {texts[-1]}" if name and len(texts) > 1 else texts[-1])


def _without_sentence(status: int | None) -> str:
    return "the upstream failed without saying why" + (f" (status {status})" if status else "")


def _retry_after_s(layers: list[dict[str, Any]]) -> float | None:
    for layer in layers:
        for key in ("retry_after", "retry_after_seconds"):
            value = layer.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                return float(value)
    return None


def _cleaned(text: str) -> str:
    if _HTML.search(text):
        return ""
    return _SECRET.sub(lambda found: found["kind"] + "…", _CONTROL.sub(" ", text)).strip()


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - 1] + "…"
