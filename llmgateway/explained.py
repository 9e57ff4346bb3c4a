"""The values of an explanation: what would happen to one request, in words and figures. Nothing in them is secret."""

from dataclasses import dataclass
from decimal import Decimal

import orjson

from conversion.report import Note


def pretty(body: str) -> str:
    """JSON spread over lines; anything else as it is."""
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What would leave for a provider: its body byte for byte, but for what is masked. ``url`` is empty in the process."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def pretty_body(self) -> str:
        """The body spread over lines."""
        return pretty(self.body)

    @property
    def text(self) -> str:
        """The whole request to read and to copy."""
        first = f"{self.method} {self.url}" if self.url else "(answered in this process)"
        lines = [first, *(f"{name}: {value}" for name, value in self.headers)]
        return "\n".join((*lines, "", self.pretty_body))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens by the local tokenizer and their cost. ``most_usd`` is for an answer as long as the client allows."""

    prompt_tokens: int
    answer_tokens: int
    cost_usd: Decimal | None
    most_usd: Decimal | None
    source: str


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """A transformation of a target. ``has_effect`` is None for those of answers, which nobody knows yet."""

    label: str
    direction: str
    has_effect: bool | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is sent: our error's name, its message, and the HTTP status that the client gets for it."""

    error: str
    message: str
    status: int


@dataclass(frozen=True, slots=True)
class ExplainedTarget:
    """One target of the plan, in the order to try. ``request`` is None where the target cannot take it.

    ``is_reached`` is false behind a target whose refusal ends the request.
    """

    number: int
    provider: str
    kind: str
    upstream_model: str
    dialect: str
    path: str
    state: str
    credential: str
    estimate: Estimate
    policy: tuple[str, ...]
    header_rules: tuple[str, ...]
    edits: tuple[AppliedEdit, ...]
    request: UpstreamRequest | None
    notes: tuple[Note, ...]
    refusal: Refusal | None = None
    is_reached: bool = True


@dataclass(frozen=True, slots=True)
class FlagState:
    """A feature flag as this caller sees it."""

    name: str
    is_on: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to one request, from the name it asks for to what leaves for each target.

    ``route`` counts from 1 among the alias's routes that are switched on; 0 where there is none. ``refusal`` is set
    where no target is found at all. ``key_number`` is 0 where no API key asks.
    """

    request_id: str
    dialect: str
    model: str
    caller: str
    key_number: int
    snapshot_number: int
    alias: str
    route: int
    strategy: str
    agent_type: str
    tier: str
    steps: tuple[str, ...]
    flags: tuple[FlagState, ...]
    targets: tuple[ExplainedTarget, ...]
    passed_over: tuple[str, ...]
    remarks: tuple[str, ...]
    refusal: Refusal | None = None
