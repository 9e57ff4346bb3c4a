"""What needs attention, each with the link that mends it; and what is passed over for a while, with until when."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.urls import reverse

from accounting.audit.trail import last_check
from accounting.budget_alerts import ATTEMPTS_MAX
from accounting.models import BudgetAlert, Team, VirtualKey
from accounting.windows import window_of
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

UNTOLD_DAYS = 30
BUDGETS_MAX = 5
ALERTS_READ_MAX = 500
STEPS = (
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
"""What a first request needs, in order: the rows, what is missing without them, and where they are made."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something to see to, and where."""

    sentence: str
    link: str
    action: str


@dataclass(frozen=True, slots=True)
class Resting:
    """What this process passes over, until when and why."""

    name: str
    link: str
    until_at: datetime
    why: str


def concerns() -> list[Concern]:
    """What needs attention, the most pressing first."""
    return [
        *_refused_picture(),
        *_unsound_trail(),
        *_unreadable_secrets(),
        *_limits_apart(),
        *_missing(),
        *_bare_providers(),
        *_ill_providers(),
        *_untold(),
        *_no_credential_on(),
    ]


def _refused_picture() -> list[Concern]:
    """That the newest configuration could not be put in force, with the reason."""
    reason = snapshot.failure()
    if not reason:
        return []
    number = snapshot.refused_number()
    which = f" (picture {number})" if number >= 0 else ""
    sentence = f"The newest configuration{which} is not in force: {reason}"
    link = reverse("admin:routing_configurationversion_changelist")
    return [Concern(sentence, link, "See what was changed")]


def _unsound_trail() -> list[Concern]:
    check = last_check()
    if check is None or not check.problem:
        return []
    seen = f"verified {check.checked_at:%Y-%m-%d %H:%M} UTC"
    sentence = f"The audit trail is not sound: {check.problem} ({seen})"
    return [Concern(sentence, reverse("admin:accounting_auditentry_changelist"), "Look at it")]


def _unreadable_secrets() -> list[Concern]:
    """What the picture in force warns of: credentials that cannot be opened."""
    held = snapshot.in_force()
    link = reverse("admin:routing_credential_changelist")
    return [Concern(warning, link, "Mend it") for warning in (held.warnings if held else ())]


def _limits_apart() -> list[Concern]:
    """That limits and budgets are not counted together with the other workers, because Redis is away."""
    runtime = current.held()
    if runtime is None or not runtime.gate.failure:
        return []
    sentence = (
        f"Redis cannot be reached ({runtime.gate.failure}): limits and budgets follow GATEWAY_REDIS_OUTAGE "
        f"({settings.REDIS_OUTAGE})."
    )
    return [Concern(sentence, "/health/ready", "Look at its state")]


def _missing() -> list[Concern]:
    """What a first request still needs."""
    return [
        Concern(sentence, reverse(f"admin:{name}_add"), action)
        for model, sentence, name, action in STEPS
        if not model._default_manager.exists()
    ]


def _bare_providers() -> list[Concern]:
    needy = [kind.name for kind in KINDS.values() if kind.needs_credential]
    bare = Provider.objects.filter(enabled=True, credentials=None, kind__in=needy)
    return [
        Concern(
            f"Provider {row} has no credential.",
            reverse("admin:routing_provider_change", args=[row.pk]),
            "Add one",
        )
        for row in bare.exclude(credential_mode=CredentialMode.PASS_THROUGH)
    ]


def _ill_providers() -> list[Concern]:
    ill = ProviderCheck.objects.filter(provider__enabled=True).exclude(problem="")
    return [_concern_of(check) for check in ill.select_related("provider")]


def _concern_of(check: ProviderCheck) -> Concern:
    seen = f"seen {check.checked_at:%Y-%m-%d %H:%M} UTC"
    sentence = f"Provider {check.provider} has a problem: {check.problem} ({seen})."
    link = reverse("admin:routing_provider_change", args=[check.provider_id])
    return Concern(sentence, link, "Look at it")


def _untold() -> list[Concern]:
    """That people could not be told of a budget, and will not be tried again."""
    since = datetime.now(UTC) - timedelta(days=UNTOLD_DAYS)
    alerts = BudgetAlert.objects.filter(sent_at=None, attempts__gte=ATTEMPTS_MAX, at__gte=since)
    newest = alerts.order_by("-at").first()
    if newest is None:
        return []
    count = alerts.count()
    what = "1 budget alert" if count == 1 else f"{count} budget alerts"
    sentence = f"{what} could not be sent: {newest.error}"
    return [Concern(sentence, reverse("admin:accounting_budgetalert_changelist"), "Look at them")]


def _no_credential_on() -> list[Concern]:
    states = set(Credential.objects.order_by().values_list("enabled", flat=True).distinct())
    if states != {False}:
        return []
    link = reverse("admin:routing_credential_changelist")
    return [Concern("All credentials are switched off.", link, "Switch one on")]


def resting(now: datetime) -> list[Resting]:
    """What this process passes over for a while: deployments that keep failing, credentials that were refused."""
    runtime = current.held()
    if runtime is None:
        return []
    now_s, cooldowns = time.monotonic(), runtime.live.cooldowns
    cooling = {pk: state for pk, state in cooldowns.state(now_s).items() if state[0] > 0}
    refused = cooldowns.resting(now_s)
    found = []
    for row in Deployment.objects.filter(pk__in=cooling).select_related("provider"):
        left_s, failures, reason = cooling[row.pk]
        link = reverse("admin:routing_deployment_change", args=[row.pk])
        counted = "1 failure" if failures == 1 else f"{failures} failures in a row"
        until_at = now + timedelta(seconds=left_s)
        found.append(Resting(str(row), link, until_at, f"after {counted} ({reason})"))
    for credential in Credential.objects.filter(pk__in=refused).select_related("provider"):
        left_s, reason = refused[credential.pk]
        link = reverse("admin:routing_provider_change", args=[credential.provider_id])
        name, until_at = f"Credential {credential}", now + timedelta(seconds=left_s)
        found.append(Resting(name, link, until_at, f"it was refused ({reason})"))
    return sorted(found, key=lambda entry: entry.until_at)


def budgets_near_their_limit(now: datetime) -> list[BudgetAlert]:
    """The thresholds passed in the windows that are now, the highest of each budget, the most spent first. One query.

    Read from the alerts that the serving processes note, with the figures of the moment at which each was passed: sums
    over the windows of all budgets would take seconds where there are many.
    """
    rows = BudgetAlert.objects.filter(budget__enabled=True).order_by("-at")
    related = ("budget__team", "budget__project__team", "budget__key__team")
    highest: dict[int, BudgetAlert] = {}
    for alert in rows.select_related(*related)[:ALERTS_READ_MAX]:
        window = window_of(alert.budget.window, alert.budget.time_zone, now)
        known = highest.get(alert.budget_id)
        if alert.window_began_at == window.began_at and (
            known is None or known.threshold < alert.threshold
        ):
            highest[alert.budget_id] = alert
    found = sorted(highest.values(), key=lambda alert: (-alert.threshold, -alert.budget_id))
    return found[:BUDGETS_MAX]
