"""Applies header rules: (rules, headers) -> headers. Pure; and the list of headers that nobody may touch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conversion.names import matches

PROTECTED = frozenset(
    {
        "accept-encoding", "api-key", "authorization", "connection", "content-encoding", "content-length",
        "content-type", "cookie", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "x-api-key",
        "x-goog-api-key", "x-llmgateway-key",
    }
)  # fmt: skip
"""Framing, hop-by-hop and credential headers (RFC 9110, 7.6.1): a rule on one of them could only break a request."""
ESSENTIAL = frozenset({"accept", "anthropic-beta", "anthropic-version", "user-agent"})
"""What an allow rule need not name: a drop rule may still take it away."""
PLACES = frozenset(
    {"request_id", "team", "project", "key", "model", "upstream_model", "session", "agent"}
)
"""What ``${...}`` in a value may name."""
_PLACE = re.compile(r"\$\{([^}]*)\}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_PATTERN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be applied. ``name`` is in lower case."""

    action: str
    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a rule cannot be saved, and the field that is at fault."""

    field: str
    message: str


def problem_with(action: str, name: str, value: str) -> Problem | None:
    """What is wrong with a rule; None when it can be applied."""
    takes_pattern = action in ("drop", "allow")
    if not (_PATTERN if takes_pattern else _TOKEN).fullmatch(name):
        return Problem(
            "name", "A header's name is one word of letters, digits and hyphens, such as X-Title."
        )
    if name.lower() in PROTECTED:
        return Problem(
            "name", f"{name} is no rule's business: without the right one no request arrives."
        )
    if takes_pattern and value:
        return Problem("value", "Drop and allow take no value.")
    if action == "force" and not value:
        return Problem("value", "Say what to send. To send nothing, drop the header.")
    unknown = sorted(set(_PLACE.findall(value)) - PLACES)
    if unknown:
        return Problem(
            "value", f"Unknown: {', '.join(unknown)}. Known are: {', '.join(sorted(PLACES))}."
        )
    return None


def apply(
    rules: Sequence[Rule],
    headers: Mapping[str, str],
    *,
    client_headers: Mapping[str, str],
    places: Mapping[str, str],
) -> dict[str, str]:
    """The headers after the rules, in their order; names in lower case.

    ``headers`` are what would be sent, without framing and credential, which no rule sees. With an allow rule among
    the rules only headers that one of them names are sent, and the client's own that they name go along.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    allowed = [rule.name for rule in rules if rule.action == "allow"]
    if allowed:
        passed = {
            name: value
            for name, value in client_headers.items()
            if name not in PROTECTED and _is_named(allowed, name)
        }
        kept = {
            name: value
            for name, value in sent.items()
            if name in ESSENTIAL or _is_named(allowed, name)
        }
        sent = {**passed, **kept}
    for rule in rules:
        if rule.action == "drop":
            sent = {name: value for name, value in sent.items() if not matches(rule.name, name)}
        elif rule.action == "force" or (rule.action == "add" and rule.name not in sent):
            sent[rule.name] = fill(rule.value, places)
    return sent


def fill(value: str, places: Mapping[str, str]) -> str:
    """The value with its places filled: what a client wrote is cut down to what a header can hold.

    Nor may a header end in the space before a place for which nothing is known.
    """
    return _PLACE.sub(lambda place: _clean(places.get(place[1], "")), value).strip()


def _clean(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:500]


def _is_named(patterns: Sequence[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
