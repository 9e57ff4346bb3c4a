"""What a key may call, as ``/v1/models`` tells it: from memory, in the shape of whoever asks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from accounting import keys
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from llmgateway.exchange import ClientRequest
from routing import planning, snapshot
from routing.errors import ModelUnknown
from routing.pictures import AliasPicture, Snapshot

LIMIT_DEFAULT = 20
LIMIT_MAX = 1000


def answer(ask: ClientRequest, model_id: str, *, query: Mapping[str, str]) -> bytes:
    """The list, or the one model that ``model_id`` names.

    Raises:
        KeyMissing, KeyRefused: who asks is not known.
        ModelUnknown: there is no such model for this key.
        RequestInvalid: a query parameter is out of its range.
    """
    ask.key = key = keys.authenticate(ask.secrets, now=ask.accepted_at)
    picture = snapshot.current()
    is_anthropic = ask.dialect is Dialect.ANTHROPIC_MESSAGES
    write = _anthropic_model if is_anthropic else _openai_model
    if model_id:
        alias, _groups = planning.find_alias(picture, model_id)
        if not key.may_ask_for(model_id):
            raise ModelUnknown(f"The model {model_id!r} is not open to the API key {key.name!r}.")
        return orjson.dumps(write(alias, model_id, picture.built_at))
    visible = listed_for(key, picture)
    if not is_anthropic:
        data = [write(alias, alias.name, picture.built_at) for alias in visible]
        return orjson.dumps({"object": "list", "data": data})
    page, has_more = _page(visible, query)
    return orjson.dumps(
        {
            "data": [write(alias, alias.name, picture.built_at) for alias in page],
            "first_id": page[0].name if page else None,
            "last_id": page[-1].name if page else None,
            "has_more": has_more,
        }
    )


def listed_for(key: KeyPicture, picture: Snapshot) -> list[AliasPicture]:
    """The aliases that the list shows to a key, by name."""
    return sorted(
        (a for a in picture.exact.values() if a.visible and key.may_ask_for(a.name)),
        key=lambda a: a.name,
    )


def _page(visible: list[AliasPicture], query: Mapping[str, str]) -> tuple[list[AliasPicture], bool]:
    """The part of the list that ``limit``, ``after_id`` and ``before_id`` ask for, and whether more follows."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    # Python refuses to read numbers of thousands of digits.
    is_number = text.isdecimal() and len(text) <= len(str(LIMIT_MAX))
    if not is_number or not 1 <= int(text) <= LIMIT_MAX:
        raise RequestInvalid(f"Input should be a whole number from 1 to {LIMIT_MAX}", path="limit")
    limit = int(text)
    after, before = query.get("after_id"), query.get("before_id")
    if after:
        visible = [alias for alias in visible if alias.name > after]
    if before:
        visible = [alias for alias in visible if alias.name < before]
        return visible[-limit:], len(visible) > limit
    return visible[:limit], len(visible) > limit


def _anthropic_model(alias: AliasPicture, name: str, built_at: datetime) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": alias.description or name,
        "created_at": built_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }


def _openai_model(alias: AliasPicture, name: str, built_at: datetime) -> dict[str, Any]:
    del alias
    return {
        "id": name,
        "object": "model",
        "created": int(built_at.timestamp()),
        "owned_by": "llmgateway",
    }
