"""The values that walk through a request's story: what the client asked, and what it gets."""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from conversion.dialects import Dialect

if TYPE_CHECKING:
    from accounting.entries import Entry
    from accounting.snapshot import KeyPicture
    from llmgateway.tracing import Trace

SESSION_HEADER = "x-claude-code-session-id"
AGENT_HEADERS = ("x-llmgateway-agent", "x-claude-code-agent-id")


class ClientRequest(msgspec.Struct, eq=False):
    """One request as it came in. Header names are in lower case; ``query`` is the query string; ``accepted_s`` is a monotonic time in seconds.

    What turns out on the way stands here for those who tell of it: the key, the model's name as it was asked for, and
    the records of its attempts.
    """

    id: str
    dialect: Dialect
    body: bytes
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    query: str = ""
    accepted_at: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))
    accepted_s: float = msgspec.field(default_factory=time.monotonic)
    trace: "Trace | None" = None
    key: "KeyPicture | None" = None
    alias: str = ""
    records: "list[Entry]" = []

    def __repr__(self) -> str:
        """Without what is told to nobody: headers, secrets and body."""
        return f"ClientRequest({self.id!r}, {self.dialect!r})"

    @property
    def agent(self) -> str:
        """The client's own id of its agent; empty when it sends none."""
        headers = self.headers
        for name in AGENT_HEADERS:
            if told := headers.get(name):
                return told
        return ""

    @property
    def session(self) -> str:
        """The client's own id of its session; empty when it sends none."""
        return self.headers.get(SESSION_HEADER, "")


def new_request_id() -> str:
    """A fresh id that sorts by time: ``req_`` + 12 hexadecimal digits of milliseconds + 16 of chance."""
    # Unique, not secret: the operating system's chance would cost a system call.
    return f"req_{time.time_ns() // 1_000_000:012x}{random.getrandbits(64):016x}"
