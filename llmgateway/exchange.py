"""The values that walk through a request's story: what the client asked, and what it gets."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from conversion.dialects import Dialect

if TYPE_CHECKING:
    from accounting.entries import Entry
    from accounting.snapshot import KeyPicture
    from llmgateway.tracing import Trace

SESSION_HEADER = "x-claude-code-session-id"
AGENT_HEADERS = ("x-llmgateway-agent", "x-claude-code-agent-id")


@dataclass(slots=True)
class ClientRequest:
    """One request as it came in. Header names are in lower case; ``query`` is the query string; ``accepted_s`` is a monotonic time in seconds.

    What turns out on the way stands here for those who tell of it: the key, the model's name as it was asked for, and
    the records of its attempts.
    """

    id: str
    dialect: Dialect
    body: bytes
    headers: Mapping[str, str]
    secrets: tuple[str, ...] = field(repr=False)
    query: str = ""
    accepted_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    accepted_s: float = field(default_factory=time.monotonic)
    trace: "Trace | None" = None
    key: "KeyPicture | None" = field(default=None, init=False)
    alias: str = field(default="", init=False)
    records: "list[Entry]" = field(default_factory=list, init=False)

    @property
    def agent(self) -> str:
        """The client's own id of its agent; empty when it sends none."""
        return next((self.headers[name] for name in AGENT_HEADERS if self.headers.get(name)), "")

    @property
    def session(self) -> str:
        """The client's own id of its session; empty when it sends none."""
        return self.headers.get(SESSION_HEADER, "")


def new_request_id() -> str:
    """A fresh id that sorts by time: ``req_`` + 12 hexadecimal digits of milliseconds + 16 of chance."""
    # Unique, not secret: the operating system's chance would cost a system call.
    return f"req_{time.time_ns() // 1_000_000:012x}{random.getrandbits(64):016x}"
