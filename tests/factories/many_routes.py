"""A routing configuration as a large company has it; what people typed may hold what they like."""

from datetime import UTC, datetime

from routing import versions
from routing.models import (
    AgentType,
    Credential,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    ProviderCheck,
    Route,
    RouteTarget,
    Transformation,
)

PROVIDERS, DEPLOYMENTS, ALIASES, ROUTES, TARGETS, RULES = 20, 500, 300, 2000, 3, 200
LONG_ALIAS_ROUTES = 40
"""One alias has many more routes than the others: a route for each team."""


def fill(mark: str = "") -> None:
    """Write the rows; ``mark`` stands in every text of theirs, also where a form would not take it."""
    providers = Provider.objects.bulk_create(
        Provider(
            slug=f"provider-{n}{mark}"[:64],
            kind="openrouter",
            base_url=f"https://p{n}.example{mark}",
            check_model=mark,
            ca_bundle_pem=mark,
        )
        for n in range(PROVIDERS)
    )
    ProviderCheck.objects.bulk_create(
        ProviderCheck(
            provider=row, checked_at=datetime(2026, 1, 2, tzinfo=UTC), problem=f"no{mark}"
        )
        for row in providers
    )
    credentials = Credential.objects.bulk_create(
        Credential(
            provider=row, label=f"main-{n}{mark}"[:64], sealed_secret="none", last_four="9999"
        )
        for row in providers
        for n in range(3)
    )
    deployments = Deployment.objects.bulk_create(
        Deployment(
            provider=providers[n % PROVIDERS],
            credential=credentials[n % PROVIDERS * 3] if n % 2 else None,
            upstream_model=f"maker/model-{n}{mark}",
            parameters={"note": mark},
            traits={"efforts": [mark]},
            fact_sources={"takes_tools": mark},
        )
        for n in range(DEPLOYMENTS)
    )
    aliases = _aliases(mark, deployments)
    _rules(mark, providers, aliases)


def _aliases(mark: str, deployments: list[Deployment]) -> list[ModelAlias]:
    aliases = ModelAlias.objects.bulk_create(
        ModelAlias(name=f"alias-{n:03}{mark}", description=f"made {mark}") for n in range(ALIASES)
    )
    homes = [aliases[0]] * LONG_ALIAS_ROUTES
    homes += [aliases[n % ALIASES] for n in range(ROUTES - LONG_ALIAS_ROUTES)]
    routes = Route.objects.bulk_create(
        Route(
            alias=alias,
            position=n,
            teams=f"team-{n}{mark}",
            projects=mark,
            keys=mark,
            agent_types=mark,
            tiers=mark,
            request_classes=mark,
            header=f"x-env: {mark}",
        )
        for n, alias in enumerate(homes)
    )
    RouteTarget.objects.bulk_create(
        RouteTarget(
            route=route,
            deployment=deployments[(n * TARGETS + m) % DEPLOYMENTS],
            position=m,
            parameters={"note": mark},
        )
        for n, route in enumerate(routes)
        for m in range(TARGETS)
    )
    return aliases


def _rules(mark: str, providers: list[Provider], aliases: list[ModelAlias]) -> None:
    scopes: list[dict[str, object]] = [
        {"scope": "everything"},
        {"scope": "provider", "provider": providers[0]},
        {"scope": "route", "alias": aliases[0]},
    ]
    HeaderRule.objects.bulk_create(
        HeaderRule(action="force", name=f"X-Rule-{n}{mark}"[:100], value=f"v{mark}", position=n, **scopes[n % 3])
        for n in range(RULES)
    )  # fmt: skip
    Transformation.objects.bulk_create(
        Transformation(
            name=f"rule {n}{mark}"[:100],
            pattern=f"pattern {n}{mark}",
            replacement=mark,
            flags="i",
            value={"note": mark},
            position=n,
            **scopes[n % 3],
        )
        for n in range(RULES)
    )
    tiers = ModelTier.objects.bulk_create(
        ModelTier(slug=f"tier-{n}{mark}"[:64], alias=aliases[n], description=f"for {mark}")
        for n in range(RULES)
    )
    AgentType.objects.bulk_create(
        AgentType(
            slug=f"agent-{n}{mark}"[:64],
            header=f"x-agent{mark}"[:64],
            value=f"v{mark}",
            tier=tiers[n],
            position=n,
        )
        for n in range(RULES)
    )
    FeatureFlag.objects.bulk_create(
        FeatureFlag(name="log_bodies", team=f"team-{n}{mark}"[:64], key=f"key{mark}"[:64])
        for n in range(RULES)
    )
    for n in range(2):
        providers[0].check_every_s = n
        providers[0].save(update_fields=["check_every_s"])
        versions.record(f"author{mark}"[:150], f"number {n} {mark}")
