"""The rows that an empty installation begins with; nothing here touches rows that exist."""

from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounting.models import Price
from routing.models import Credential, Deployment, ModelAlias, Provider, Route, RouteTarget

DEMO_MODEL = "demo-1"
DEMO_NAME = "demo"
"""The alias under which clients ask for it."""
DEMO_PRICES_USD_PER_MTOK = (Decimal("0.25"), Decimal("1.25"))
CLAUDE_PATTERN = "claude-*"
OPENROUTER_ALIASES = (
    # What Claude Code and Anthropic's SDK call claude-sonnet-4-5-20250929 is anthropic/claude-sonnet-4.5 there.
    (r"claude-([a-z]+)-(\d+)-(\d{1,2})(?:-\d{8})?", "regex", "anthropic/claude-{1}-{2}.{3}"),
    (r"claude-([a-z]+)-(\d+)(?:-\d{8})?", "regex", "anthropic/claude-{1}-{2}"),
    (r"claude-(\d+)-(\d{1,2})-([a-z]+)(?:-\d{8})?", "regex", "anthropic/claude-{1}.{2}-{3}"),
)
OPENROUTER_PATTERN = "openrouter/*"
EVERY_NAME = "*"
AS_ASKED = "{0}"
"""The upstream model that is what the client asked for."""
CLAUDE_NAMES = {
    "openrouter": OPENROUTER_ALIASES,
    "anthropic": ((CLAUDE_PATTERN, "wildcard", AS_ASKED),),
    "litellm_sdk": ((CLAUDE_PATTERN, "wildcard", "anthropic/{0}"),),
}
"""How the names of Claude that clients ask for lead to the same models, for the kinds that have them all."""


def add_target(alias: ModelAlias, deployment: Deployment) -> RouteTarget:
    """Append a deployment to the alias's first route, which is made if need be."""
    route = alias.routes.order_by("position", "pk").first() or Route.objects.create(alias=alias)
    target, _made = RouteTarget.objects.get_or_create(
        route=route, deployment=deployment, defaults={"position": route.targets.count()}
    )
    return target


def lead(name: str, match: str, deployment: Deployment) -> bool:
    """Let a name end at the deployment, if it is new, has no target, or so far ends at the demo or at this provider.

    False for a name that leads elsewhere: it is left as it is.
    """
    targets = RouteTarget.objects.filter(route__alias=_alias(name, match))
    if targets.filter(deployment=deployment).exists():
        return True
    own = Q(deployment__provider=deployment.provider_id) | Q(deployment__provider__kind="demo")
    if targets.exclude(own).exists():
        return False
    for target in targets:
        target.delete()
    add_target(_alias(name, match), deployment)
    return True


@transaction.atomic
def add_demo() -> bool:
    """The demo provider, reached as ``demo`` and, where it is the only provider, as ``claude-*`` too.

    Claude Code asks for its own models' names in side requests; without the pattern a first try would fail.
    Exact names and regular expressions are looked at before wildcards, so that real routes replace it.
    False when there is a demo provider already.
    """
    if Provider.objects.filter(kind="demo").exists():
        return False
    provider = Provider.objects.create(slug="demo", kind="demo")
    deployment = Deployment.objects.create(provider=provider, upstream_model=DEMO_MODEL)
    names = [(DEMO_NAME, ModelAlias.Match.EXACT)]
    if not Provider.objects.exclude(pk=provider.pk).exists():
        names.append((CLAUDE_PATTERN, ModelAlias.Match.WILDCARD))
    for name, match in names:
        alias, made = ModelAlias.objects.get_or_create(
            name=name, defaults={"match": match, "description": "Demo model inside the gateway"}
        )
        if made:
            add_target(alias, deployment)
    prompt, completion = DEMO_PRICES_USD_PER_MTOK
    Price.objects.get_or_create(
        provider="demo",
        upstream_model=DEMO_MODEL,
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        defaults={
            "prompt_usd_per_mtok": prompt,
            "completion_usd_per_mtok": completion,
            "source": "demo",
        },
    )
    return True


@transaction.atomic
def add_first_providers() -> bool:
    """OpenRouter and a LiteLLM proxy, as the environment says, when the database has no provider; rows rule after that."""
    if Provider.objects.exists():
        return False
    aliases = _add_openrouter() if settings.OPENROUTER_API_KEY else None
    if settings.LITELLM_BASE_URL:
        _add_litellm([_alias(EVERY_NAME, "wildcard")] if aliases is None else aliases)
    return Provider.objects.exists()


def _add_openrouter() -> list[ModelAlias]:
    """The provider; returns the aliases that lead there."""
    provider = Provider.objects.create(
        slug="openrouter",
        kind="openrouter",
        base_url=settings.OPENROUTER_API_BASE,
        total_timeout_s=Decimal(settings.OPENROUTER_DIRECT_TIMEOUT_S),
        retries_max=min(10, settings.OPENROUTER_DIRECT_RETRIES),
    )
    _add_credential(provider, "main", settings.OPENROUTER_API_KEY)
    model = settings.OPENROUTER_DIRECT_MODEL_FORMAT.replace("{model}", "{1}")
    aliases = []
    for pattern, match, upstream_model in (
        (OPENROUTER_PATTERN, "wildcard", model),
        *OPENROUTER_ALIASES,
    ):
        deployment = Deployment.objects.create(provider=provider, upstream_model=upstream_model)
        alias = _alias(pattern, match)
        if not RouteTarget.objects.filter(route__alias=alias).exists():
            add_target(alias, deployment)
            aliases.append(alias)
    return aliases


def _alias(pattern: str, match: str) -> ModelAlias:
    """An alias may outlive its provider: the one that is there keeps its form, and gets a target if it has none."""
    return ModelAlias.objects.get_or_create(name=pattern, defaults={"match": match})[0]


def _add_credential(provider: Provider, label: str, secret: str) -> None:
    credential = Credential(provider=provider, label=label)
    credential.seal(secret)
    credential.save()


def _add_litellm(aliases: list[ModelAlias]) -> None:
    """The proxy, as the last target of the aliases; it knows its models by the names that clients ask for."""
    provider = Provider.objects.create(
        slug="litellm", kind="litellm_proxy", base_url=settings.LITELLM_BASE_URL
    )
    if settings.LITELLM_MASTER_KEY:
        _add_credential(provider, "master", settings.LITELLM_MASTER_KEY)
    deployment = Deployment.objects.create(provider=provider, upstream_model=AS_ASKED)
    for alias in aliases:
        add_target(alias, deployment)
