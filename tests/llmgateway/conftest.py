"""The gateway on a real port, in front of a provider that a test scripts."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async

from accounting import keys
from accounting import snapshot as keys_snapshot
from accounting.models import Team
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from llmgateway.beginnings import add_target
from llmgateway.explained import Explanation
from llmgateway.explanation import NOBODY, bystander, explain
from llmgateway.explanation_asks import example_body, request_of
from llmgateway.runtime import Runtime, refresh_pictures
from routing import snapshot
from routing.models import Credential, Deployment, ModelAlias, Provider
from tests.factories.routing import make_alias, make_deployment, make_provider
from tests.fakes.upstream import FakeUpstream
from tests.serving import Serving, serving

SECRET = "sk-or-v1-planted-secret-0123456789abcdef"
MODEL = "anthropic/claude-sonnet-4.5"
ALIAS = "claude-sonnet-4-5"


def add_openrouter(slug: str, url: str, **fields: object) -> Provider:
    """A provider with one credential; its times are so long that a machine that stands still for a while passes none."""
    plain = {
        "connect_timeout_s": Decimal(60),
        "first_byte_timeout_s": Decimal(60),
        "idle_timeout_s": Decimal(60),
        "total_timeout_s": Decimal(100),
        "retries_max": 0,
        "backoff_s": Decimal("0.01"),
        "backoff_max_s": Decimal("0.05"),
    }
    provider = Provider.objects.create(
        slug=slug, base_url=url, **{"kind": "openrouter", **plain, **fields}
    )
    credential = Credential(provider=provider, label="main")
    credential.seal(SECRET)
    credential.save()
    return provider


def route_to(
    alias_name: str, provider: Provider, model: str = MODEL, *, match: str = "exact"
) -> Deployment:
    """Let the alias's route end at the provider."""
    deployment, _made = Deployment.objects.get_or_create(provider=provider, upstream_model=model)
    alias, _made = ModelAlias.objects.get_or_create(name=alias_name, defaults={"match": match})
    add_target(alias, deployment)
    return deployment


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def key(transactional_db: None) -> str:
    """A key of team alder."""
    del transactional_db

    def mint() -> str:
        team, _made = Team.objects.get_or_create(slug="alder")
        return keys.mint(team, "laptop").secret

    return await sync_to_async(mint)()


@pytest.fixture
async def provider(key: str, upstream: FakeUpstream) -> Provider:
    """The scripted OpenRouter, routed to from ALIAS and from everything else."""
    del key

    def add() -> Provider:
        row = add_openrouter("openrouter", upstream.url)
        route_to(ALIAS, row)
        route_to("*", row, "{1}", match="wildcard")
        return row

    return await sync_to_async(add)()


@pytest.fixture
async def impatient(provider: Provider) -> Provider:
    """The scripted OpenRouter, given up soon: for answers that never come. To be named before ``gateway``."""
    provider.connect_timeout_s = provider.first_byte_timeout_s = Decimal("0.6")
    provider.idle_timeout_s = Decimal("0.6")
    await provider.asave()
    return provider


@pytest.fixture
async def route(key: str, upstream: FakeUpstream) -> Callable[..., Awaitable[Provider]]:
    """Makes a provider of a kind at the scripted upstream, behind every name: ``await route("ollama")``."""
    del key

    def add(kind: str, model: str, fields: dict[str, object]) -> Provider:
        row = add_openrouter(kind, upstream.url.removesuffix("/api/v1"), kind=kind, **fields)
        route_to("*", row, model, match="wildcard")
        return row

    async def make(kind: str, model: str = "{1}", **fields: object) -> Provider:
        return await sync_to_async(add)(kind, model, fields)

    return make


@pytest.fixture
async def gateway(provider: Provider, key: str, tmp_path) -> AsyncIterator[Serving]:
    del provider
    async with serving(tmp_path / "journal", key=key) as running:
        yield running


@pytest.fixture
def nothing_in_force() -> Iterator[None]:
    """Pictures of rows of another test must not be taken for this one's, nor this one's for the next's."""
    _forget_pictures()
    yield
    _forget_pictures()


def _forget_pictures() -> None:
    snapshot.put_in_force(None)
    keys_snapshot.put_in_force(keys_snapshot.KeyRing(number=-1, by_digest={}, prices={}))


@pytest.fixture
def told(db: None, nothing_in_force: None) -> Callable[..., Explanation]:
    """Explains a body, or an example for a model, with the rows as they are: ``told(body, *headers, key=...)``."""
    del db, nothing_in_force

    def explain_now(
        body: str = "sonnet",
        *headers: str,
        key: KeyPicture = NOBODY,
        dialect: Dialect = Dialect.ANTHROPIC_MESSAGES,
        runtime: Runtime | None = None,
    ) -> Explanation:
        refresh_pictures()
        text = body if body.startswith("{") else example_body(body, dialect)
        return explain(request_of(text, dialect, headers), key, runtime or bystander())

    return explain_now


def two_targets(**fields: object) -> ModelAlias:
    """The alias sonnet: at a direct provider, then at a second one."""
    first, second = make_provider("direct"), make_provider("second")
    return make_alias("sonnet", make_deployment(first), make_deployment(second), **fields)
