"""What the frozen picture of routing is made of: values that requests read and nobody changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings

from conversion.call import Call
from conversion.dialects import Dialect
from conversion.editing.edits import Edit
from conversion.traits import Traits
from routing.cooldown import Policy
from routing.flags import FlagSet
from routing.header_rules import Rule
from routing.providers.kind import ProviderKind
from routing.secrets import OpenedSecret


@dataclass(frozen=True, slots=True)
class CredentialPicture:
    """A credential, opened."""

    pk: int
    label: str
    secret: OpenedSecret
    weight: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an attempt is worth repeating at the same provider. Waits in seconds."""

    retries_max: int
    backoff_s: float
    backoff_max_s: float
    statuses: frozenset[int]
    network_errors: bool


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one attempt may wait, in seconds."""

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class ProviderPicture:
    """A provider with all that a call to it needs. ``tls`` is None where the system's own checks hold."""

    pk: int
    slug: str
    kind: ProviderKind
    base_url: str
    timeouts: Timeouts
    retries: RetryPolicy
    verify_tls: bool
    ca_bundle_pem: str
    credentials: tuple[CredentialPicture, ...]
    dialect: Dialect
    dialect_is_chosen: bool = False
    is_pass_through: bool = False
    concurrent_max: int = 0
    queue_max: int = 0
    queue_wait_s: float = 10.0
    cooldown: Policy = field(default_factory=Policy)
    header_rules: tuple[Rule, ...] = ()
    request_edits: tuple[Edit, ...] = ()
    response_edits: tuple[Edit, ...] = ()

    def dialect_for(self, call: Call) -> Dialect:
        """The dialect in which a call is sent here: its own where the kind has a place for it."""
        if call.dialect in (Dialect.OPENAI_COMPLETIONS, Dialect.OPENAI_EMBEDDINGS):
            return call.dialect if call.dialect in self.kind.paths else self.dialect
        if self.kind.dialect_for is not None and not self.dialect_is_chosen:
            return self.kind.dialect_for(call)
        return self.dialect


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model; None is not known."""

    takes_tools: bool | None = None
    takes_images: bool | None = None
    can_reason: bool | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything is."""
        return self is not NO_FACTS


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class TargetConditions:
    """For which requests a target is there at all."""

    prompt_tokens_over: int | None = None
    prompt_tokens_at_most: int | None = None
    with_tools: bool = False
    with_images: bool = False
    with_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class RouteConditions:
    """For which requests a route is there; an empty tuple is no condition. ``header`` is a name and a pattern."""

    teams: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    agent_types: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    request_classes: tuple[str, ...] = ()
    header: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class AgentTypePicture:
    """A sort of program, told by a header; ``tier`` and ``alias`` are empty where it has no tier."""

    slug: str
    header: str
    value: str
    tier: str
    alias: str


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of a route: where a request may go, and how it is asked for there."""

    pk: int
    provider: ProviderPicture
    upstream_model: str
    traits: Traits
    overrides: Mapping[str, Any]
    credentials: tuple[CredentialPicture, ...]
    weight: int
    context_window_tokens: int | None
    facts: Facts = field(default_factory=lambda: NO_FACTS)
    conditions: TargetConditions | None = None
    header_rules: tuple[Rule, ...] = ()
    request_edits: tuple[Edit, ...] = ()
    response_edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class RoutePicture:
    """An alias's list of targets, in order.

    ``has_choosy_targets`` is false where none has conditions of its own and nothing is known of any model.
    """

    targets: tuple[Target, ...]
    pk: int = 0
    strategy: str = "in_order"
    is_sticky: bool = False
    conditions: RouteConditions | None = None
    has_choosy_targets: bool = True


@dataclass(frozen=True, slots=True)
class AliasPicture:
    """A name or pattern that clients ask for. ``pattern`` is None for an exact name."""

    name: str
    description: str
    visible: bool
    is_regex: bool
    pattern: Any
    routes: tuple[RoutePicture, ...]


Found = tuple[AliasPicture, Mapping[str, str]]
"""The alias for a name, and what its pattern matched by group."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of routing at one moment. ``patterns`` are in the order in which they are tried.

    ``matched`` and ``lone`` are no part of the picture: planning remembers in them what the patterns say of names, and the
    plans that are the same for every request.
    """

    number: int
    built_at: datetime
    exact: Mapping[str, AliasPicture]
    patterns: tuple[AliasPicture, ...]
    providers: Mapping[str, ProviderPicture]
    warnings: tuple[str, ...] = field(default=())
    agent_types: tuple[AgentTypePicture, ...] = ()
    flags: FlagSet = field(default_factory=lambda: FlagSet({}, settings.FLAGS_AT_FIRST))
    matched: dict[str, Found | None] = field(default_factory=dict, compare=False, repr=False)
    lone: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def traits_of(provider: ProviderPicture, model: str, overrides: Mapping[str, Any]) -> Traits:
    """What a model takes at a provider: the kind's view of it, and over that the row's as far as it fits the dialect."""
    traits = provider.kind.traits_for(provider.dialect, model)
    return replace(
        traits, **{name: value for name, value in overrides.items() if hasattr(traits, name)}
    )
