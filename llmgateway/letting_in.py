"""Whether whoever sends a request may be read: asked before a body that costs something is taken in."""

from collections.abc import Iterable
from datetime import UTC, datetime

from accounting import keys
from accounting.snapshot import KeyPicture
from llmgateway.auth import find_secrets
from llmgateway.current import runtime


async def check_sender(headers: Iterable[tuple[bytes, bytes]]) -> KeyPicture:
    """The key that the headers hold, where it is taken; the request's story asks again when it is read.

    Raises:
        KeyMissing, KeyRefused: they do not.
    """
    await runtime()  # which reads the keys where nobody has yet
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return keys.authenticate(find_secrets(named), now=datetime.now(UTC))
