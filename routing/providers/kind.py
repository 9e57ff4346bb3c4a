"""What a provider kind tells the rest: one value per module of this package."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conversion.call import Call
from conversion.dialects import Dialect, ErrorReader
from conversion.traits import ChatTraits, MessagesTraits, Traits
from routing.providers.facts import ModelFacts, ProviderState

Headers = tuple[tuple[str, str], ...]
CostMapName = tuple[str, str]
"""A name in LiteLLM's cost map, and how the provider there must begin; empty for any."""


@dataclass(frozen=True, slots=True)
class InProcessAsk:
    """One call to a kind that answers in the process. ``secret`` is empty where the provider has no credential."""

    dialect: Dialect
    body: bytes
    stream: bool
    base_url: str = ""
    secret: str = field(default="", repr=False)
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class InProcessAnswer:
    """What such a kind answers with: a status and the pieces of a body.

    The iterator may raise a GatewayError where the answer breaks off; closing it early ends the work behind it.
    """

    status: int
    content_type: str
    pieces: AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


def messages_traits(model: str) -> MessagesTraits:
    """What any model takes whose server speaks Anthropic's dialect, as far as the gateway knows."""
    return MessagesTraits(model=model)


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """The code for one sort of provider, as flat values where it can be flat.

    ``needs`` says to who adds one what it is, and what they must have for it; ``is_demo`` where it only plays a model.
    ``base_url`` is the kind's own address, empty where each provider has its own: a form then begins with
    ``example_url``. ``paths`` holds what is appended
    to it for a request in each dialect that the kind speaks; the first one is spoken unless a provider's row says
    otherwise. ``count_path`` is where Messages are counted exactly; empty where nobody can. ``credential_headers``
    turns a secret into headers. ``traits`` and ``messages_traits`` give what a model of this kind takes in either
    dialect, and ``dialect_for`` chooses between the kind's dialects by what is asked, where the row does not.
    ``version_path`` is taken off the end of an address that has it, because the paths begin with it. ``read_error``
    reads an error answer. ``health_path`` answers cheaply, with the credential, whether the provider and the
    credential work, and ``read_health`` reads more of it than its status; ``models_path`` lists the
    models, and ``loaded_path`` in the same form those that are in memory. ``fixed_headers`` go with every request, and over them
    those of ``client_headers`` that the client sent. ``id_header`` and ``cost_header`` are answer
    headers with the provider's own id of the call and with what it cost in USD. ``is_litellm`` where LiteLLM stands between the gateway and the model: the flag
    bypass_litellm orders plans by it. ``answer_in_process`` stands in for
    the network in a kind that calls nobody itself; it may raise any GatewayError. ``prepare`` loads what such a kind
    needs: it blocks, is safe to repeat, and runs in a thread once a provider of the kind is switched on.
    For a synchronisation, ``details_path`` lists what the provider knows of its models beside their names, and
    ``description_path`` is asked by POST for one model at a time. ``cost_map_names`` gives, for a provider's address
    and a model's name, the names under which LiteLLM's cost map may have the model, likeliest first.
    """

    name: str
    label: str
    paths: Mapping[Dialect, str]
    credential_headers: Callable[[str], Headers]
    traits: Callable[[str], ChatTraits]
    read_error: ErrorReader
    needs: str = ""
    base_url: str = ""
    example_url: str = ""
    is_demo: bool = False
    version_path: str = ""
    messages_traits: Callable[[str], MessagesTraits] = messages_traits
    dialect_for: Callable[[Call], Dialect] | None = None
    fixed_headers: Headers = ()
    client_headers: tuple[str, ...] = ()
    count_path: str = ""
    health_path: str = ""
    read_health: Callable[[Any], ProviderState] | None = None
    credits_path: str = ""
    read_credits: Callable[[Any], ProviderState] | None = None
    models_path: str = ""
    read_models: Callable[[Any], list[ModelFacts]] | None = None
    loaded_path: str = ""
    details_path: str = ""
    read_details: Callable[[Any], list[ModelFacts]] | None = None
    description_path: str = ""
    read_description: Callable[[ModelFacts, Any], ModelFacts] | None = None
    cost_map_names: Callable[[str, str], tuple[CostMapName, ...]] | None = None
    id_header: str = ""
    cost_header: str = ""
    needs_credential: bool = True
    is_litellm: bool = False
    answer_in_process: Callable[[InProcessAsk], Awaitable[InProcessAnswer]] | None = None
    prepare: Callable[[], None] | None = None

    @property
    def calls_out(self) -> bool:
        """Whether this kind opens connections."""
        return self.answer_in_process is None

    @property
    def dialect(self) -> Dialect:
        """The dialect of conversations that is spoken unless a provider's row says otherwise."""
        return next(iter(self.paths))

    @property
    def conversation_dialects(self) -> tuple[Dialect, ...]:
        """The dialects that a provider's row may choose from."""
        spoken = (Dialect.OPENAI_CHAT, Dialect.ANTHROPIC_MESSAGES)
        return tuple(dialect for dialect in self.paths if dialect in spoken)

    def traits_for(self, dialect: Dialect, model: str) -> Traits:
        """What a model takes in a dialect."""
        is_messages = dialect is Dialect.ANTHROPIC_MESSAGES
        return self.messages_traits(model) if is_messages else self.traits(model)


def bearer(secret: str) -> Headers:
    """The usual way to send a secret."""
    return (("Authorization", f"Bearer {secret}"),)
