"""Makes tool call ids legal on both sides, so that the client's answer finds its call again.

Anthropic takes ``^[a-zA-Z0-9_-]+$`` only, while upstreams make ids such as ``functions.read:0``; OpenAI takes
at most 40 characters (trap 43). Nothing is stored: an illegal id travels encoded inside the legal one.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

PREFIX = "llmgw1_"
CLIENT_CHARS_MAX = 64

_LEGAL = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)


def to_client(upstream_id: str) -> str:
    """An id that a Messages client may send back; :func:`to_upstream` makes the upstream's own out of it."""
    legal = len(upstream_id) <= CLIENT_CHARS_MAX and _LEGAL.fullmatch(upstream_id) is not None
    if legal and not upstream_id.startswith(PREFIX):
        return upstream_id
    # Lone surrogates cannot arrive: JSON with them is refused before.
    return PREFIX + urlsafe_b64encode(upstream_id.encode()).rstrip(b"=").decode("ascii")


def to_upstream(client_id: str, chars_max: int) -> str:
    """The upstream's id for a client's one: decoded if it was encoded here, shortened if over ``chars_max``.

    Shortening is deterministic, so that a call and its result still carry the same id.
    """
    upstream_id = _decoded(client_id) or client_id
    if len(upstream_id) <= chars_max:
        return upstream_id
    return ("call_" + sha256(upstream_id.encode()).hexdigest())[:chars_max]


def _decoded(client_id: str) -> str | None:
    if not client_id.startswith(PREFIX):
        return None
    packed = client_id.removeprefix(PREFIX)
    try:
        return urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except (
        binascii.Error,
        ValueError,
    ):  # UnicodeDecodeError is a ValueError, as is text beyond ASCII
        return None
