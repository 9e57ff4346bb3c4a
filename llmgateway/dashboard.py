"""The first page of the admin: the last day in figures, and what needs attention with the link that mends it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Q, Sum
from django.http import HttpRequest
from django.urls import reverse

from accounting.models import Team, UsageRecord, VirtualKey
from accounting.templatetags.amounts import percent, tokens, usd
from routing import snapshot
from routing.models import Credential, Deployment, ModelAlias, Provider, ProviderCheck

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
    for provider in Provider.objects.filter(enabled=True, credentials=None).exclude(kind="demo"):
        link = reverse("admin:routing_provider_change", args=[provider.pk])
        found.append(Concern(f"Provider {provider} has no credential.", link, "Add one"))
    ill = ProviderCheck.objects.filter(provider__enabled=True).exclude(problem="")
    found.extend(_concern_of(check) for check in ill.select_related("provider"))
    if Credential.objects.exists() and not Credential.objects.filter(enabled=True).exists():
        link = reverse("admin:routing_credential_changelist")
        found.append(Concern("All credentials are switched off.", link, "Switch one on"))
    return found


def _concern_of(check: ProviderCheck) -> Concern:
    seen = f"seen {check.checked_at:%Y-%m-%d %H:%M} UTC"
    sentence = f"Provider {check.provider} has a problem: {check.problem} ({seen})."
    link = reverse("admin:routing_provider_change", args=[check.provider_id])
    return Concern(sentence, link, "Look at it")


def _warnings() -> tuple[str, ...]:
    held = snapshot.in_force()
    return held.warnings if held else ()
