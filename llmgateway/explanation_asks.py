"""Makes the request that is to be explained: of a body and headers that somebody entered, or of a usage record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from accounting import snapshot as keys_snapshot
from accounting.audit import watch
from accounting.models import RequestLog, UsageRecord
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from llmgateway.attribution import PROJECT_HEADER, TAGS_HEADER
from llmgateway.auth import find_secrets
from llmgateway.exchange import AGENT_HEADERS, SESSION_HEADER, ClientRequest, new_request_id

CLIENT_DIALECTS: Mapping[Dialect, str] = {
    Dialect.ANTHROPIC_MESSAGES: "Anthropic Messages",
    Dialect.OPENAI_CHAT: "OpenAI chat completions",
    Dialect.OPENAI_COMPLETIONS: "OpenAI completions",
    Dialect.OPENAI_EMBEDDINGS: "OpenAI embeddings",
}
"""The dialects that clients speak, with what pages call them."""
NOT_SENT_ON = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
    }
)
"""Headers of a logged request that belong to its way here, not to what was asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as somebody would enter it, who asks, and what is to be said of where it comes from."""

    body: str
    dialect: Dialect
    headers: tuple[str, ...]
    key: KeyPicture
    remarks: tuple[str, ...] = ()

    def to_request(self) -> ClientRequest:
        """The client's request.

        Raises:
            HeaderUnreadable: a line of the headers is none.
        """
        return request_of(self.body, self.dialect, self.headers)


class HeaderUnreadable(ValueError):
    """A line is no header; the message says which."""


class KeyUnknown(ValueError):
    """There is no such API key; the message says which."""


def request_of(body: str, dialect: Dialect, lines: Sequence[str]) -> ClientRequest:
    """A request as a client would send it.

    Raises:
        HeaderUnreadable: a line is no header.
    """
    headers = read_headers(lines)
    return ClientRequest(
        id=new_request_id(),
        dialect=dialect,
        body=body.encode("utf-8", "surrogatepass"),
        headers=headers,
        secrets=find_secrets(headers),
    )


def read_headers(lines: Sequence[str]) -> dict[str, str]:
    """Headers from lines such as ``X-Title: me``; names in lower case, empty lines passed over.

    Raises:
        HeaderUnreadable: a line is none.
    """
    headers = {}
    for line in filter(None, map(str.strip, lines)):
        name, colon, value = line.partition(":")
        is_name = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not (colon and is_name):
            raise HeaderUnreadable(
                f"{name[:40]!r}: write a name, a colon and a value, such as X-Title: me."
            )
        if not value.strip().isprintable():
            raise HeaderUnreadable(f"{name}: its value must be printable text.")
        headers[name.lower()] = value.strip()
    return headers


def key_named(team: str, name: str) -> KeyPicture:
    """The team's key of that name, from the picture in force.

    Raises:
        KeyUnknown: there is none.
    """
    for key in keys_snapshot.current().by_digest.values():
        if (key.team, key.name) == (team, name):
            return key
    raise KeyUnknown(f"Team {team!r} has no API key {name!r}.")


def key_numbered(pk: int) -> KeyPicture:
    """The key of that number, from the picture in force.

    Raises:
        KeyUnknown: there is none.
    """
    for key in keys_snapshot.current().by_digest.values():
        if key.pk == pk:
            return key
    raise KeyUnknown("There is no such API key any more.")


def anybody_of(team: str) -> KeyPicture:
    """Somebody of a team, with no key in particular."""
    return KeyPicture(0, "", team, "", enabled=True, expires_at=None, allowed=())


def example_body(model: str, dialect: Dialect, *, stream: bool = False) -> str:
    """The least body that asks for a model."""
    body: dict[str, Any] = {"model": model}
    match dialect:
        case Dialect.ANTHROPIC_MESSAGES:
            body |= {"max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}]}
        case Dialect.OPENAI_COMPLETIONS:
            body["prompt"] = "Hello"
        case Dialect.OPENAI_EMBEDDINGS:
            body["input"] = "Hello"
        case _:
            body["messages"] = [{"role": "user", "content": "Hello"}]
    if stream:
        body["stream"] = True
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()


def question_of_record(record: UsageRecord, *, may_see_body: bool) -> Question:
    """The request behind a usage record, as far as it is known: with its body only where that was logged whole.

    That what was kept is looked at is noted in the audit trail.
    """
    remarks = [_what_became_of(record)]
    key = _key_of(record, remarks)
    log = RequestLog.objects.filter(pk=record.pk).first() if may_see_body else None
    dialect = Dialect(record.client_dialect)
    kept = body = logged_body(log)
    if kept:
        remarks.append("The body is the one that was logged, masked as it is kept.")
    else:
        body = example_body(record.alias, dialect, stream=record.streamed)
        remarks.append(
            "The record keeps no body: this one only asks for the same model, so conditions on prompt length, tools, "
            "images and reasoning, and the estimate, may come out differently."
        )
    headers = tuple(line for line in headers_of(record, log) if _is_readable(line, remarks))
    if log is not None:
        how = "Looked at what was kept, masked, to explain it."
        watch.note_use(log, how, bodies=int(bool(kept)))
    return Question(body, dialect, headers, key, tuple(remarks))


def _is_readable(line: str, remarks: list[str]) -> bool:
    try:
        read_headers([line])
    except HeaderUnreadable as error:
        remarks.append(f"A header was left out. {error}")
        return False
    return True


def _what_became_of(record: UsageRecord) -> str:
    after = f" after {record.after_error}" if record.after_error else ""
    reason = f" ({record.error})" if record.error else ""
    return (
        f"On {record.started_at:%Y-%m-%d %H:%M:%S} UTC, attempt {record.attempt}{after} of {record.request_id} went to "
        f"{record.provider}: {record.upstream_model} and {record.get_status_display()}{reason}. "
        "What follows is what would happen now, with the configuration and prices in force."
    )


def _key_of(record: UsageRecord, remarks: list[str]) -> KeyPicture:
    try:
        return key_numbered(record.key_id)
    except KeyUnknown:
        remarks.append("The API key is no longer there; what the record says of it is taken.")
        return KeyPicture(
            record.key_id,
            record.key_name,
            record.team,
            record.project,
            enabled=True,
            expires_at=None,
            allowed=(),
        )


def logged_body(log: RequestLog | None) -> str:
    """The client's body out of a log; empty where it was not kept, or not whole."""
    for logged in log.bodies if log else ():
        if logged.name == "client_request" and not logged.is_cut:
            try:
                orjson.loads(logged.text)
            except orjson.JSONDecodeError:
                return ""
            return logged.text.decode("utf-8", "replace")
    return ""


def headers_of(record: UsageRecord, log: RequestLog | None) -> tuple[str, ...]:
    """The client's headers: those that were logged, else those that the record knows."""
    logged = log.headers.get("client_request") if log else None
    if logged:
        return tuple(f"{name}: {value}" for name, value in logged if name not in NOT_SENT_ON)
    known = {
        AGENT_HEADERS[0]: record.agent,
        SESSION_HEADER: record.session,
        PROJECT_HEADER: record.project,
        TAGS_HEADER: record.tags.strip(","),
    }
    return tuple(f"{name}: {value}" for name, value in known.items() if value)
