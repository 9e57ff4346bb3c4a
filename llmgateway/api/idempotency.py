"""Requests that may be sent twice: the second answer to the same Idempotency-Key is the first one, within a day.

The key, the change and the answer are one transaction: a request that fails leaves nothing, so that it can be
corrected and sent again under its key; one that is sent while the first is under way waits for it.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response

from llmgateway.api.errors import Conflict, invalid
from llmgateway.api.models import KeptAnswer

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
KEY_CHARS_MAX = 255
SECRET = "secret"  # noqa: S105  (the name of a member)


def once(request: Request, make: Callable[[], Response]) -> Response:
    """The answer that ``make`` gives, or gave when the request was sent before; it is called in a transaction."""
    key = request.headers.get(HEADER)
    if key is None:
        return make()
    if not 0 < len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise invalid({HEADER: [f"Must be 1 to {KEY_CHARS_MAX} printable characters of ASCII."]})
    now, user = datetime.now(UTC), request.user.pk
    digest = digest_of(request)
    with transaction.atomic():
        KeptAnswer.objects.filter(at__lt=now - KEPT_FOR).delete()
        kept = KeptAnswer(user_id=user, key=key, request_digest=digest, at=now)
        try:
            with transaction.atomic():
                kept.save(force_insert=True)
        except IntegrityError:
            return _again(KeptAnswer.objects.get(user_id=user, key=key), digest)
        response = make()
        _keep(kept, response)
    return response


def digest_of(request: Request) -> str:
    """Tells this request from any other; the order of an object's members does not matter."""
    body = orjson.dumps(_plain(request.data), option=orjson.OPT_SORT_KEYS, default=str)
    told = f"{request.method} {request.get_full_path()}\n".encode() + body
    return hashlib.sha256(told).hexdigest()


def _plain(value: Any) -> Any:
    """Whole numbers beyond 64 bits, and text that is none, as something that can be written."""
    if isinstance(value, dict):
        return {repr(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return repr(value)


def _keep(kept: KeptAnswer, response: Response) -> None:
    body = response.data
    if isinstance(body, dict) and SECRET in body:
        body = {**body, SECRET: None, "secret_was_shown": True}
    kept.status = response.status_code
    kept.body = orjson.loads(orjson.dumps(body, default=str))
    kept.location = response.get("Location", "")
    kept.save(update_fields=["status", "body", "location"])


def _again(kept: KeptAnswer, digest: str) -> Response:
    if kept.request_digest != digest:
        raise Conflict(f"This {HEADER} was sent with another request before: take a new one.")
    response = Response(kept.body, status=kept.status)
    response["Idempotent-Replayed"] = "true"
    if kept.location:
        response["Location"] = kept.location
    return response
