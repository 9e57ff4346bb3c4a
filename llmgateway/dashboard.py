"""The first page of the admin: the last day in figures, and what needs attention with the link that mends it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Q, Sum
from django.http import HttpRequest
from django.urls import reverse

from accounting.models import Team, UsageRecord, VirtualKey
from accounting.templatetags.amounts import percent, tokens, usd
from llmgateway import current
from routing import snapshot
from routing.models import (
    Credential,
    CredentialMode,
    Deployment,
    ModelAlias,
    Provider,
    ProviderCheck,
)
from routing.providers import KINDS

LATEST_MAX = 8


@dataclass(frozen=True, slots=True)
class Concern:
    """Something to see to, and where."""

    sentence: str
    link: str
    action: str


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Django-unfold's callback for the index page."""
    del request
    held = snapshot.in_force()
    context.update(
        figures=figures(datetime.now(UTC) - timedelta(days=1)),
        concerns=concerns(),
        latest=UsageRecord.objects.order_by("-id")[:LATEST_MAX],
        live_number=held.number if held else None,
    )
    return context


def figures(since: datetime) -> list[tuple[str, str]]:
    """What happened since, as (heading, value)."""
    failed = Q(status=UsageRecord.Status.FAILED)
    row = UsageRecord.objects.filter(started_at__gte=since).aggregate(
        requests=Count("pk"),
        failed=Count("pk", filter=failed),
        spend_usd=Sum("cost_usd"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        ttft_ms=Avg("ttft_ms"),
    )
    requests = row["requests"]
    spend = "–" if row["spend_usd"] is None else usd(row["spend_usd"])
    return [
        ("Attempts", tokens(requests)),
        ("Spend", spend),
        ("Tokens", tokens((row["prompt"] or 0) + (row["completion"] or 0))),
        ("Failed", percent(row["failed"] / requests if requests else None)),
        ("TTFT, mean", "–" if row["ttft_ms"] is None else f"{row['ttft_ms']:,.0f} ms"),
    ]


def concerns() -> list[Concern]:
    """What needs attention, the first step first."""
    found = []
    if snapshot.failure():
        found.append(
            Concern(
                f"The newest configuration is not in force: {snapshot.failure()}",
                reverse("admin:routing_provider_changelist"),
                "Look at the providers",
            )
        )
    found.extend(
        Concern(warning, reverse("admin:routing_credential_changelist"), "Mend it")
        for warning in _warnings()
    )
    steps = (
        (
            Provider,
            "There is no provider yet: nobody can be called.",
            "routing_provider",
            "Add a provider",
        ),
        (
            Deployment,
            "No model of any provider can be called yet.",
            "routing_deployment",
            "Add a deployment",
        ),
        (
            ModelAlias,
            "There is no name yet that clients could ask for.",
            "routing_modelalias",
            "Add a model alias",
        ),
        (Team, "There is no team yet that could pay.", "accounting_team", "Add a team"),
        (
            VirtualKey,
            "There is no API key yet: no client gets in.",
            "accounting_virtualkey",
            "Make an API key",
        ),
    )
    for model, sentence, name, action in steps:
        if not model._default_manager.exists():
            found.append(Concern(sentence, reverse(f"admin:{name}_add"), action))
    needy = [kind.name for kind in KINDS.values() if kind.needs_credential]
    bare = Provider.objects.filter(enabled=True, credentials=None, kind__in=needy)
    for provider in bare.exclude(credential_mode=CredentialMode.PASS_THROUGH):
        link = reverse("admin:routing_provider_change", args=[provider.pk])
        found.append(Concern(f"Provider {provider} has no credential.", link, "Add one"))
    ill = ProviderCheck.objects.filter(provider__enabled=True).exclude(problem="")
    found.extend(_concern_of(check) for check in ill.select_related("provider"))
    found.extend(_resting())
    if Credential.objects.exists() and not Credential.objects.filter(enabled=True).exists():
        link = reverse("admin:routing_credential_changelist")
        found.append(Concern("All credentials are switched off.", link, "Switch one on"))
    return found


def _resting() -> list[Concern]:
    """What this process passes over for a while: deployments that keep failing, credentials that were refused."""
    runtime = current.held()
    if runtime is None:
        return []
    now_s, cooldowns = time.monotonic(), runtime.live.cooldowns
    cooling = {pk: state for pk, state in cooldowns.state(now_s).items() if state[0] > 0}
    resting = cooldowns.resting(now_s)
    found = []
    for row in Deployment.objects.filter(pk__in=cooling).select_related("provider"):
        left_s, failures, reason = cooling[row.pk]
        sentence = f"{row} is skipped for {left_s:.0f} s more, after {failures} failures in a row ({reason})."
        link = reverse("admin:routing_deployment_change", args=[row.pk])
        found.append(Concern(sentence, link, "Look at it"))
    for credential in Credential.objects.filter(pk__in=resting).select_related("provider"):
        left_s, reason = resting[credential.pk]
        sentence = f"Credential {credential} rests for {left_s:.0f} s more ({reason})."
        link = reverse("admin:routing_provider_change", args=[credential.provider_id])
        found.append(Concern(sentence, link, "Look at it"))
    return found


def _concern_of(check: ProviderCheck) -> Concern:
    seen = f"seen {check.checked_at:%Y-%m-%d %H:%M} UTC"
    sentence = f"Provider {check.provider} has a problem: {check.problem} ({seen})."
    link = reverse("admin:routing_provider_change", args=[check.provider_id])
    return Concern(sentence, link, "Look at it")


def _warnings() -> tuple[str, ...]:
    held = snapshot.in_force()
    return held.warnings if held else ()
