"""How far one is on the way to a first request. Read from the rows, so that the way can be left and gone on with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from django.db.models import Q

from accounting.models import UsageRecord, VirtualKey
from accounting.request_query import Place
from accounting.request_search import FoundRequest, fold
from llmgateway.first_steps.remedies import remedy_for
from routing.models import ModelAlias, Provider, ProviderCheck
from routing.providers import KINDS

EXAMPLE_MODEL = "claude-sonnet-4-5"
NAMES_MAX = 200
RECORDS_MAX = 50
Status = UsageRecord.Status


class Step(StrEnum):
    """The steps, in order."""

    PROVIDER = "provider"
    TEST = "test"
    MODELS = "models"
    KEY = "key"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Progress:
    """What there is of each step. ``provider`` and ``key`` are those that the page is about; ``names`` lead to it."""

    providers: Sequence[Provider]
    provider: Provider | None
    check: ProviderCheck | None
    names: Sequence[ModelAlias]
    key: VirtualKey | None
    request: FoundRequest | None

    @property
    def done(self) -> set[Step]:
        """The steps that are behind one."""
        found = {
            Step.PROVIDER: self.provider is not None,
            Step.TEST: self.check is not None and not self.check.problem,
            Step.MODELS: bool(self.names),
            Step.KEY: self.key is not None,
            Step.REQUEST: state_of(self.request) == "succeeded",
        }
        return {step for step, is_done in found.items() if is_done}

    @property
    def now(self) -> Step:
        """The step to take: the first that is not done. Who has models already has gone on without a good test."""
        passed = self.done | ({Step.TEST} if self.names else set())
        return next((step for step in Step if step not in passed), Step.REQUEST)

    @property
    def has_only_demo(self) -> bool:
        """Whether nobody outside the gateway can be called yet."""
        return bool(self.providers) and not any(map(is_real, self.providers))

    @property
    def model(self) -> str:
        """The name to ask for in a first request; empty while there is none."""
        exact = [alias.name for alias in self.names if alias.match == ModelAlias.Match.EXACT]
        if exact:
            return max(exact, key=lambda name: ("sonnet" in name, "claude" in name))
        return EXAMPLE_MODEL if any("claude" in alias.name for alias in self.names) else ""


def is_real(row: Provider) -> bool:
    """Whether models answer there, and not the demo."""
    kind = KINDS.get(row.kind)
    return kind is None or not kind.is_demo


def progress(*, provider: str = "", key: str = "") -> Progress:
    """How far one is, with the provider of that slug and the key of that number, else with those that seem meant.

    Eight small queries.
    """
    rows = list(Provider.objects.filter(enabled=True).select_related("last_check").order_by("-pk"))
    chosen = next((row for row in rows if row.slug == provider), None)
    chosen = chosen or next((row for row in rows if is_real(row)), rows[0] if rows else None)
    wanted = key_to_watch(key)
    return Progress(
        providers=rows,
        provider=chosen,
        check=getattr(chosen, "last_check", None),
        names=names_of(chosen) if chosen else (),
        key=wanted,
        request=newest_request(wanted.pk, chosen.slug if chosen else "") if wanted else None,
    )


def names_of(provider: Provider) -> list[ModelAlias]:
    """The names that clients can ask for and that lead to the provider."""
    found = ModelAlias.objects.filter(
        enabled=True,
        routes__enabled=True,
        routes__targets__deployment__enabled=True,
        routes__targets__deployment__provider=provider,
    )
    return list(found.distinct().order_by("pk")[:NAMES_MAX])


def key_to_watch(number: str = "") -> VirtualKey | None:
    """The key of that number, else the newest that is taken now."""
    taken = VirtualKey.objects.select_related("team").filter(
        Q(expires_at=None) | Q(expires_at__gt=datetime.now(UTC)),
        enabled=True,
        team__enabled=True,
        revoked_at=None,
    )
    if number.isascii() and number.isdigit() and int(number) < 2**63:
        named = taken.filter(pk=int(number)).first()
        if named is not None:
            return named
    return taken.order_by("-pk").first()


def newest_request(key_id: int, provider: str = "") -> FoundRequest | None:
    """The newest request of a key that reached the provider, with all its attempts; of any, where none is named.

    Only the newest records are looked at: what is waited for has just come.
    """
    newest = UsageRecord.objects.filter(key_id=key_id).order_by("-started_at", "-id")
    for request_id, at, record_id, slug in newest.values_list(
        "request_id", "started_at", "id", "provider"
    )[:RECORDS_MAX]:
        if provider in ("", slug):
            return next(iter(fold({request_id: Place(at, record_id)})), None)
    return None


def state_of(request: FoundRequest | None) -> str:
    """How a first request went: waiting, succeeded or failed."""
    if request is None:
        return "waiting"
    return "succeeded" if request.last.status == Status.SUCCEEDED else "failed"


def remedy_of(request: FoundRequest | None) -> str:
    """What to do about a request that failed; empty for any other."""
    if request is None or state_of(request) != "failed":
        return ""
    if request.last.status == Status.CLIENT_CLOSED:
        return "The client hung up before the answer was complete. Send the request again and let it finish."
    if request.last.status == Status.INTERRUPTED:
        return "The gateway was stopped while the request ran. Send it again."
    return remedy_for(request.last.error)
