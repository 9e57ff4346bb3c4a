"""What a provider kind tells the rest: one value per module of this package."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from conversion.dialects import Dialect, ErrorReader
from conversion.traits import ChatTraits

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class InProcessAnswer:
    """What a kind that calls nobody answers with: a status and the pieces of a body."""

    status: int
    content_type: str
    pieces: AsyncIterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """The code for one sort of provider, as flat values where it can be flat.

    ``base_url`` is the kind's own address, empty where each provider has its own. ``path`` is appended to it for
    an answer. ``credential_headers`` turns a secret into headers. ``traits`` gives what a model of this kind
    takes. ``read_error`` reads an error answer. ``health_path`` answers cheaply, with the credential, whether the
    provider and the credential work; empty where there is no such page. ``id_header`` is the answer header that
    holds the provider's own id. ``answer_in_process`` stands in for the network in a kind that calls nobody.
    """

    name: str
    label: str
    dialect: Dialect
    base_url: str
    path: str
    credential_headers: Callable[[str], Headers]
    traits: Callable[[str], ChatTraits]
    read_error: ErrorReader
    fixed_headers: Headers = ()
    health_path: str = ""
    id_header: str = ""
    needs_credential: bool = True
    answer_in_process: Callable[[bytes], InProcessAnswer] | None = None

    @property
    def calls_out(self) -> bool:
        """Whether this kind opens connections."""
        return self.answer_in_process is None


def bearer(secret: str) -> Headers:
    """The usual way to send a secret."""
    return (("Authorization", f"Bearer {secret}"),)
