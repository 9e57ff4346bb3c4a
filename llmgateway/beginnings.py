"""The rows that an empty installation begins with; nothing here touches rows that exist."""

from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from accounting.models import Price
from routing.models import Credential, Deployment, ModelAlias, Provider, Route, RouteTarget

DEMO_MODEL = "demo-1"
DEMO_PRICES_USD_PER_MTOK = (Decimal("0.25"), Decimal("1.25"))
CLAUDE_PATTERN = "claude-*"
OPENROUTER_ALIASES = (
    # What Claude Code and Anthropic's SDK call claude-sonnet-4-5-20250929 is anthropic/claude-sonnet-4.5 there.
    (r"claude-([a-z]+)-(\d+)-(\d{1,2})(?:-\d{8})?", "regex", "anthropic/claude-{1}-{2}.{3}"),
    (r"claude-([a-z]+)-(\d+)(?:-\d{8})?", "regex", "anthropic/claude-{1}-{2}"),
    (r"claude-(\d+)-(\d{1,2})-([a-z]+)(?:-\d{8})?", "regex", "anthropic/claude-{1}.{2}-{3}"),
)
OPENROUTER_PATTERN = "openrouter/*"


def add_target(alias: ModelAlias, deployment: Deployment) -> RouteTarget:
    """Append a deployment to the alias's first route, which is made if need be."""
    route = alias.routes.order_by("position", "pk").first() or Route.objects.create(alias=alias)
    target, _made = RouteTarget.objects.get_or_create(
        route=route, deployment=deployment, defaults={"position": route.targets.count()}
    )
    return target


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
    names = [("demo", ModelAlias.Match.EXACT)]
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
    """OpenRouter, as the environment says, when the database has no provider at all; rows rule after that."""
    if not settings.OPENROUTER_API_KEY or Provider.objects.exists():
        return False
    provider = Provider.objects.create(
        slug="openrouter",
        kind="openrouter",
        base_url=settings.OPENROUTER_API_BASE,
        total_timeout_s=Decimal(settings.OPENROUTER_DIRECT_TIMEOUT_S),
        retries_max=min(10, settings.OPENROUTER_DIRECT_RETRIES),
    )
    credential = Credential(provider=provider, label="main")
    credential.seal(settings.OPENROUTER_API_KEY)
    credential.save()
    model = settings.OPENROUTER_DIRECT_MODEL_FORMAT.replace("{model}", "{1}")
    for pattern, match, upstream_model in (
        (OPENROUTER_PATTERN, "wildcard", model),
        *OPENROUTER_ALIASES,
    ):
        deployment = Deployment.objects.create(provider=provider, upstream_model=upstream_model)
        # An alias may outlive its provider: the one that is there keeps its form, and gets a target if it has none.
        alias, _made = ModelAlias.objects.get_or_create(name=pattern, defaults={"match": match})
        if not RouteTarget.objects.filter(route__alias=alias).exists():
            add_target(alias, deployment)
    return True
