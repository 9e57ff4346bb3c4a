"""Under whose names a request is booked: project, person, session, agent and tags, from what the client sends."""

import hashlib
import re
from typing import Any, NamedTuple

import orjson

from accounting import snapshot
from accounting.snapshot import KeyPicture
from conversion.call import Call
from conversion.errors import RequestInvalid
from llmgateway.exchange import ClientRequest

PROJECT_HEADER = "x-llmgateway-project"
TAGS_HEADER = "x-llmgateway-tags"
TAGS_MAX = 10
TAG_CHARS_MAX = 64
END_USER_CHARS_MAX = 128
TAG = re.compile(r"[\w.:/=@+-]([\w.:/=@+ -]*[\w.:/=@+-])?", re.ASCII)
CLAUDE_CODE_USER = re.compile(
    r"user_(?P<device>[0-9a-f]*)_account_(?P<account>[0-9a-f-]*)_session_(?P<session>[0-9a-f-]*)"
)
"""How Claude Code wrote ``metadata.user_id`` before it wrote JSON (protocol reference of its gateways, read 2026-11)."""


class Origin(NamedTuple):
    """Whom a request is booked to, beside its team and key. ``tags`` as they are stored: ``,a,b,``."""

    project: str
    session: str
    agent: str
    end_user: str
    tags: str


def origin_of(ask: ClientRequest, call: Call, key: KeyPicture) -> Origin:
    """What the request's headers and body say of where it comes from.

    Raises:
        RequestInvalid: the project is none of the team's, or the tags are no tags.
    """
    end_user, session = person_behind(call.body)
    tags = ask.headers.get(TAGS_HEADER, "")
    return Origin(
        project=project_of(ask, key),
        session=ask.session or session,
        agent=ask.agent,
        end_user=end_user,
        tags=read_tags(tags) if tags else "",
    )


def project_of(ask: ClientRequest, key: KeyPicture) -> str:
    """The project a request is booked under: the header's, or else the key's own.

    Raises:
        RequestInvalid: the team has no such project.
    """
    project = ask.headers.get(PROJECT_HEADER, "")
    if not project or project == key.project:
        return key.project
    known = snapshot.current().projects.get(key.team, frozenset())
    if project in known:
        return project
    names = ", ".join(sorted(known)) or "none"
    raise RequestInvalid(
        f"team {key.team} has no project {project[:64]!r} (it has: {names}); leave the header {PROJECT_HEADER} out, or "
        "have the project made at Accounts → Projects",
        path=PROJECT_HEADER,
    )


def read_tags(text: str) -> str:
    """Tags from a header, in order and each once, as they are stored.

    Raises:
        RequestInvalid: too many, too long, or with characters that no tag has.
    """
    tags = sorted({tag.strip() for tag in text.split(",")} - {""})
    wrong = next((tag for tag in tags if len(tag) > TAG_CHARS_MAX or not TAG.fullmatch(tag)), None)
    if wrong is not None:
        raise RequestInvalid(
            f"{wrong[:80]!r} is no tag: letters, digits, spaces and . _ - : / = @ + only, at most {TAG_CHARS_MAX}",
            path=TAGS_HEADER,
        )
    if len(tags) > TAGS_MAX:
        raise RequestInvalid(f"more than {TAGS_MAX} tags", path=TAGS_HEADER)
    return f",{','.join(tags)}," if tags else ""


def person_behind(body: dict[str, Any]) -> tuple[str, str]:
    """The person that a client names, and the session it names beside them; empty where it names none.

    Claude Code packs device, account and session into ``metadata.user_id``. OpenAI clients say ``safety_identifier``
    or ``user``.
    """
    metadata = body.get("metadata")
    told = metadata.get("user_id") if isinstance(metadata, dict) else None
    told = told or body.get("safety_identifier") or body.get("user")
    if not isinstance(told, str) or not told:
        return "", ""
    if told.startswith("{"):
        return _person_in_json(told)
    match = CLAUDE_CODE_USER.fullmatch(told)
    if match:
        return match["account"] or match["device"], match["session"]
    return storable_name(told), ""


def _person_in_json(told: str) -> tuple[str, str]:
    try:
        parts = orjson.loads(told)
    except orjson.JSONDecodeError:
        return storable_name(told), ""
    person = next(
        (
            value
            for name in ("account_uuid", "device_id", "user_id")
            if isinstance(value := parts.get(name), str) and value
        ),
        told,
    )
    session = parts.get("session_id")
    return storable_name(person), session if isinstance(session, str) else ""


def storable_name(name: str) -> str:
    """The name; a digest of it where it is long, or an e-mail address, which reports have no need for."""
    if len(name) <= END_USER_CHARS_MAX and "@" not in name:
        return name
    return f"sha256:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
