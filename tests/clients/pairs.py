"""The upstreams that every client meets: one provider of each sort, all played by one scripted server."""

import base64
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.core.management import call_command

from accounting import keys
from accounting.models import Team
from tests.llmgateway.conftest import add_openrouter, route_to

CLAUDE_AT_OPENROUTER = "anthropic/claude-sonnet-4.5"
LISTED = ("alder-fast", "birch-large", "cedar", "claude-elm", "fir")
"""The names that the list of models tells; the patterns below are not in it."""

SHORT_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
"""One grey dot."""
TINY_PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()


@dataclass(frozen=True)
class Pair:
    """One provider: reached by its name and a slash; ``dialect`` where its row chooses one."""

    name: str
    kind: str
    upstream_model: str
    path: str
    dialect: str = ""

    @property
    def model(self) -> str:
        """The name that clients ask for."""
        return f"{self.name}/{self.upstream_model}"

    def __str__(self) -> str:
        return self.name


CHAT = Pair("chat", "openrouter", CLAUDE_AT_OPENROUTER, "/api/v1/chat/completions")
NATIVE = Pair("native", "anthropic", "claude-sonnet-4-5", "/v1/messages")
MESSAGES = Pair(
    "messages", "openrouter", CLAUDE_AT_OPENROUTER, "/api/v1/messages", "anthropic_messages"
)
OLLAMA = Pair("ollama", "ollama", "qwen3:8b", "/v1/chat/completions")
COMPATIBLE = Pair("compatible", "openai_compatible", "gpt-5-mini", "/v1/chat/completions")
DEMO = Pair("demo", "demo", "demo", "")
ALL = (CHAT, NATIVE, MESSAGES, OLLAMA, COMPATIBLE, DEMO)


def _add(pair: Pair, url: str) -> None:
    server = url.removesuffix("/api/v1")
    address = {"openrouter": url, "openai_compatible": f"{server}/v1"}.get(pair.kind, server)
    provider = add_openrouter(pair.name, address, kind=pair.kind, dialect=pair.dialect)
    route_to(f"{pair.name}/*", provider, "{1}", match="wildcard")
    if pair is CHAT:
        for name in LISTED:
            route_to(name, provider)
        route_to("claude-*", provider, match="wildcard")


@sync_to_async
def add_rows(url: str) -> str:
    """All providers at this address, and a key of team alder: the key."""
    for pair in ALL:
        _add(pair, url)
    team, _made = Team.objects.get_or_create(slug="alder")
    return keys.mint(team, "laptop").secret


@sync_to_async
def remove_rows() -> None:
    """Leave the database as a test with one of its own finds it."""
    call_command("flush", interactive=False, verbosity=0)
