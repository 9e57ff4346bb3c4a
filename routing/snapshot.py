"""The frozen picture of routing that requests walk through.

Theory of operation. Every change of a row of this app counts up one number (``RoutingVersion``) in the same
transaction. Each serving process looks at that number several times a second, off the hot path, and when it has
moved reads all rows at once, builds a new ``Snapshot`` and swaps the reference; a request keeps the picture it
started with. A picture that cannot be built leaves the old one in force and its reason in ``failure()``.

Only saved and deleted rows are heard of: a bulk ``update()`` must call ``bump()`` itself.
"""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import re2
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.signals import post_delete, post_save

from conversion.dialects import Dialect
from conversion.editing.edits import Edit
from routing import models, providers, secrets, transformations
from routing.cooldown import Policy
from routing.errors import SecretUnreadable, SnapshotUnbuilt
from routing.flags import DECLARED, FlagRow, FlagSet
from routing.header_rules import Rule
from routing.pictures import (
    NO_FACTS,
    AgentTypePicture,
    AliasPicture,
    CredentialPicture,
    Facts,
    ProviderPicture,
    RetryPolicy,
    RouteConditions,
    RoutePicture,
    Snapshot,
    Target,
    TargetConditions,
    Timeouts,
    traits_of,
)

WATCHED = (
    models.Provider,
    models.Credential,
    models.Deployment,
    models.ModelAlias,
    models.Route,
    models.RouteTarget,
    models.FeatureFlag,
    models.ModelTier,
    models.AgentType,
    models.HeaderRule,
    models.Transformation,
)


class _Held:
    """What this process has in force."""

    snapshot: Snapshot | None = None
    failure: str = ""
    refused_number: int = -1


def current() -> Snapshot:
    """The picture in force.

    Raises:
        SnapshotUnbuilt: none could be built since the process started.
    """
    if _Held.snapshot is None:
        raise SnapshotUnbuilt("The gateway has no configuration in force yet; see /health/ready.")
    return _Held.snapshot


def in_force() -> Snapshot | None:
    """The picture in force, or None before the first one."""
    return _Held.snapshot


def failure() -> str:
    """Why the newest configuration could not be put in force; empty when it is."""
    return _Held.failure


def put_in_force(snapshot: Snapshot | None) -> None:
    """Swap the picture; requests under way keep theirs."""
    _Held.snapshot = snapshot
    _Held.failure = ""
    _Held.refused_number = -1


def refuse(reason: str, *, number: int = -1) -> None:
    """Keep the old picture and remember why that of version ``number`` could not be built."""
    _Held.failure = reason
    _Held.refused_number = number


def refused_number() -> int:
    """The version that could not be built, so that nobody tries it again four times a second; -1: none."""
    return _Held.refused_number


def version() -> int:
    """The number of the newest configuration in the database. One small query."""
    row = models.RoutingVersion.objects.filter(pk=1).values_list("number", flat=True).first()
    return row or 0


def bump() -> None:
    """Tell every serving process that routing rows have changed."""
    with transaction.atomic():
        models.RoutingVersion.objects.get_or_create(pk=1)
        models.RoutingVersion.objects.filter(pk=1).update(number=F("number") + 1)


def listen() -> None:
    """Count up the version with every saved or deleted row of this app."""
    for model in WATCHED:
        post_save.connect(
            _row_changed, sender=model, dispatch_uid=f"snapshot-save-{model.__name__}"
        )
        post_delete.connect(
            _row_changed, sender=model, dispatch_uid=f"snapshot-delete-{model.__name__}"
        )


def _row_changed(**_kwargs: Any) -> None:
    bump()


def build() -> Snapshot:
    """A picture of the rows as they are now. Reads the database; never called on the hot path."""
    with transaction.atomic():
        number = version()
        warnings: list[str] = []
        rules = RuleBook()
        pictures = {
            provider.pk: provider_picture(provider, warnings, rules)
            for provider in models.Provider.objects.filter(enabled=True).prefetch_related(
                "credentials"
            )
        }
        targets = _targets_by_route(pictures, warnings, rules)
        exact: dict[str, AliasPicture] = {}
        patterns: list[AliasPicture] = []
        for alias in models.ModelAlias.objects.filter(enabled=True).prefetch_related("routes"):
            picture = _alias_picture(alias, targets)
            if alias.match == models.ModelAlias.Match.EXACT:
                exact[alias.name] = picture
            else:
                patterns.append(picture)
    # A regular expression is more deliberate than a wildcard, a longer pattern narrower than a shorter one; the
    # name decides last, so that the order never depends on the database.
    patterns.sort(key=lambda alias: (not alias.is_regex, -len(alias.name), alias.name))
    return Snapshot(
        number=number,
        built_at=datetime.now(UTC),
        exact=exact,
        patterns=tuple(patterns),
        providers={picture.slug: picture for picture in pictures.values()},
        flags=_flag_set(warnings),
        warnings=tuple(warnings),
        agent_types=_agent_types(),
    )


def _agent_types() -> tuple[AgentTypePicture, ...]:
    rows = models.AgentType.objects.filter(enabled=True).select_related("tier__alias")
    return tuple(
        AgentTypePicture(
            slug=row.slug,
            header=row.header,
            value=row.value.lower(),
            tier=row.tier.slug if row.tier else "",
            alias=row.tier.alias.name if row.tier else "",
        )
        for row in rows
    )


def _flag_set(warnings: list[str]) -> FlagSet:
    rows: dict[str, tuple[FlagRow, ...]] = {}
    for row in models.FeatureFlag.objects.all():
        if row.name not in DECLARED:
            warnings.append(
                f"Feature flag {row.name!r} is not known to this version: its row has no effect."
            )
        word = FlagRow(row.enabled, row.team, row.key, row.percentage)
        rows[row.name] = (*rows.get(row.name, ()), word)
    return FlagSet(rows, settings.FLAGS_AT_FIRST)


def provider_picture(
    row: models.Provider, warnings: list[str], rules: "RuleBook"
) -> ProviderPicture:
    """A provider's row with all that a call needs; what is wrong with it goes into ``warnings``."""
    kind = providers.KINDS[row.kind]
    credentials = []
    for credential in row.credentials.all():
        if not credential.enabled:
            continue
        try:
            secret = secrets.open_sealed(credential.sealed_secret)
        except SecretUnreadable as error:
            warnings.append(f"Credential {credential}: {error.message}")
            continue
        credentials.append(
            CredentialPicture(credential.pk, credential.label, secret, credential.weight)
        )
    if row.ca_bundle_pem:
        _check_bundle(row, warnings)
    request_edits, response_edits = rules.edits_of(row.pk, None)
    return ProviderPicture(
        pk=row.pk,
        slug=row.slug,
        kind=kind,
        base_url=(row.base_url or kind.base_url).rstrip("/").removesuffix(kind.version_path),
        timeouts=Timeouts(
            connect_s=float(row.connect_timeout_s),
            first_byte_s=float(row.first_byte_timeout_s),
            idle_s=float(row.idle_timeout_s),
            total_s=float(row.total_timeout_s),
        ),
        retries=RetryPolicy(
            retries_max=row.retries_max,
            backoff_s=float(row.backoff_s),
            backoff_max_s=float(row.backoff_max_s),
            statuses=frozenset(row.retry_statuses),
            network_errors=row.retry_network_errors,
        ),
        verify_tls=row.verify_tls,
        ca_bundle_pem=row.ca_bundle_pem,
        credentials=tuple(credentials),
        dialect=Dialect(row.dialect) if row.dialect else kind.dialect,
        dialect_is_chosen=bool(row.dialect),
        is_pass_through=row.credential_mode == models.CredentialMode.PASS_THROUGH,
        concurrent_max=row.concurrent_max,
        queue_max=row.queue_max,
        queue_wait_s=float(row.queue_wait_s),
        cooldown=Policy(row.cooldown_after, float(row.cooldown_s), float(row.cooldown_max_s)),
        header_rules=rules.of(row.pk, None),
        request_edits=request_edits,
        response_edits=response_edits,
    )


def _check_bundle(row: models.Provider, warnings: list[str]) -> None:
    try:
        ssl.create_default_context(cadata=row.ca_bundle_pem)
    except (ssl.SSLError, ValueError) as error:
        warnings.append(f"Provider {row}: the CA bundle cannot be read ({error}).")


def _targets_by_route(
    pictures: Mapping[int, ProviderPicture], warnings: list[str], rules: "RuleBook"
) -> dict[int, list[Target]]:
    by_route: dict[int, list[Target]] = {}
    rows = models.RouteTarget.objects.filter(deployment__enabled=True).select_related(
        "deployment", "deployment__provider", "route"
    )
    for row in rows.order_by("route_id", "position", "pk"):
        provider = pictures.get(row.deployment.provider_id)
        if provider is None:
            continue
        target = _target(row, provider, rules)
        if target.credentials or not provider.kind.needs_credential or provider.is_pass_through:
            by_route.setdefault(row.route_id, []).append(target)
        else:
            warning = f"Deployment {row.deployment} has no credential that is switched on: routes skip it."
            if warning not in warnings:
                warnings.append(warning)
    return by_route


class RuleBook:
    """The header rules and transformations, read once, and sorted into those of one provider and one alias."""

    def __init__(self) -> None:
        rows = models.HeaderRule.objects.filter(enabled=True).order_by("position", "pk")
        order = {"everything": 0, "provider": 1, "route": 2}
        self._rows = sorted(rows, key=lambda row: (row.position, order[row.scope], row.pk))
        self._edits = transformations.build_pictures(
            models.Transformation.objects.filter(enabled=True)
        )

    def edits_of(
        self, provider: int, alias: int | None
    ) -> tuple[tuple[Edit, ...], tuple[Edit, ...]]:
        """The edits of requests of an alias that go to a provider, and those of the answers."""
        return transformations.for_target(self._edits, provider, alias)

    def of(self, provider: int, alias: int | None) -> tuple[Rule, ...]:
        """The rules for requests of an alias (None: of no alias) that go to a provider, in the order of application."""
        return tuple(
            Rule(row.action, row.name.lower(), row.value)
            for row in self._rows
            if row.provider_id in (None, provider) and row.alias_id in (None, alias)
        )


def _target(row: models.RouteTarget, provider: ProviderPicture, rules: "RuleBook") -> Target:
    deployment = row.deployment
    own = deployment.credential_id
    overrides = overrides_of(deployment)
    if row.parameters:
        overrides["parameters"] = {**overrides.get("parameters", {}), **row.parameters}
    traits = traits_of(provider, deployment.upstream_model, overrides)
    request_edits, response_edits = rules.edits_of(provider.pk, row.route.alias_id)
    return Target(
        pk=deployment.pk,
        provider=provider,
        upstream_model=deployment.upstream_model,
        traits=traits,
        overrides=overrides,
        credentials=tuple(c for c in provider.credentials if own is None or c.pk == own),
        weight=row.weight,
        context_window_tokens=deployment.context_window_tokens,
        facts=_facts(deployment),
        conditions=_target_conditions(row),
        header_rules=rules.of(provider.pk, row.route.alias_id),
        request_edits=request_edits,
        response_edits=response_edits,
    )


def overrides_of(deployment: models.Deployment) -> dict[str, Any]:
    """What a deployment's row says about its traits."""
    overrides = deployment.traits_given()
    if deployment.max_output_tokens is not None:
        overrides["max_output_tokens"] = deployment.max_output_tokens
    if deployment.parameters:
        overrides["parameters"] = deployment.parameters
    return overrides


def _route_conditions(row: models.Route) -> RouteConditions | None:
    header = None
    if row.header:
        name, _, value = row.header.partition(":")
        header = (name.strip().lower(), value.strip().lower())
    conditions = RouteConditions(
        teams=_words(row.teams),
        projects=_words(row.projects),
        keys=_words(row.keys),
        agent_types=_words(row.agent_types),
        tiers=_words(row.tiers),
        request_classes=_words(row.request_classes),
        header=header,
    )
    return None if conditions == RouteConditions() else conditions


def _is_choosy(target: Target) -> bool:
    has_facts = target.context_window_tokens is not None or target.facts.is_known
    return target.conditions is not None or has_facts


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _target_conditions(row: models.RouteTarget) -> TargetConditions | None:
    conditions = TargetConditions(
        prompt_tokens_over=row.prompt_tokens_over,
        prompt_tokens_at_most=row.prompt_tokens_at_most,
        with_tools=row.only_with_tools,
        with_images=row.only_with_images,
        with_reasoning=row.only_with_reasoning,
    )
    return None if conditions == TargetConditions() else conditions


def _facts(row: models.Deployment) -> Facts:
    facts = Facts(row.takes_tools, row.takes_images, row.can_reason)
    return NO_FACTS if facts == NO_FACTS else facts


def _alias_picture(row: models.ModelAlias, targets: Mapping[int, list[Target]]) -> AliasPicture:
    pattern = None
    if row.match == models.ModelAlias.Match.WILDCARD:
        pattern = re2.compile("(.*)".join(re2.escape(part) for part in row.name.split("*")))
    elif row.match == models.ModelAlias.Match.REGEX:
        pattern = re2.compile(row.name)
    routes = tuple(
        RoutePicture(
            targets=tuple(targets.get(route.pk, ())),
            pk=route.pk,
            strategy=route.strategy,
            is_sticky=route.is_sticky,
            conditions=_route_conditions(route),
            has_choosy_targets=any(map(_is_choosy, targets.get(route.pk, ()))),
        )
        for route in sorted(row.routes.all(), key=lambda route: (route.position, route.pk))
        if route.enabled
    )
    return AliasPicture(
        name=row.name,
        description=row.description,
        visible=row.visible,
        is_regex=row.match == models.ModelAlias.Match.REGEX,
        pattern=pattern,
        routes=routes,
    )
