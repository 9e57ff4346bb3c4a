"""Looks at a provider the way pages, commands and the background loop want it, and keeps the last look as a row.

A problem that is found here is shown and stops nothing: whether a provider is called is decided by real traffic.
"""

import asyncio
import importlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError

from conversion.errors import GatewayError
from routing import snapshot
from routing.models import Provider, ProviderCheck
from routing.models.provider_check import DETAIL_CHARS_MAX, PROBLEM_CHARS_MAX
from routing.pictures import ProviderPicture
from routing.providers.facts import ProviderState

log = logging.getLogger(__name__)

LOOK_S = 45.0
SECRET_CHARS_MIN = 6
CREDIT_USD_MAX = Decimal(10) ** 11
CREDIT_EXACT = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found, and when."""

    state: ProviderState
    checked_at: datetime


async def look(provider: ProviderPicture, check_model: str = "") -> ProviderState:
    """The provider's state now; whatever goes wrong is a problem in it, and nothing is raised.

    With ``check_model`` the provider's list must have that model, where its kind has a list.
    """
    try:
        async with asyncio.timeout(LOOK_S):
            state = await (await _lookups()).check(provider)
            if check_model and not state.problem and provider.kind.models_path:
                state = await _with_model_sought(provider, check_model, state)
    except TimeoutError:
        state = ProviderState(problem=f"did not finish answering within {LOOK_S:g} s")
    except Exception as error:
        # A look must not end the loop that makes it, whatever a provider or a row brings.
        log.exception("a provider could not be looked at", extra={"provider": provider.slug})
        state = ProviderState(problem=f"could not be looked at ({type(error).__name__})")
    return _without_secrets(provider, state)


async def look_closely(
    provider: ProviderPicture, check_model: str = ""
) -> tuple[ProviderState, int | None]:
    """What ``look`` finds, and how many models the provider lists; None where it lists none or has a problem."""
    state = await look(provider, check_model)
    if state.problem or not provider.kind.models_path:
        return state, None
    try:
        async with asyncio.timeout(LOOK_S):
            return state, len(await (await _lookups()).list_models(provider))
    except (GatewayError, TimeoutError):
        return state, None


def picture_of(row: Provider) -> ProviderPicture:
    """The provider as a call would see it, also while it is switched off."""
    return snapshot.provider_picture(row, [], snapshot.RuleBook())


async def _lookups() -> Any:
    """The room of look-ups, loaded beside the requests by the first look: httpx costs every start 0.25 s otherwise."""
    return await asyncio.to_thread(importlib.import_module, "routing.upstream.lookups")


async def _with_model_sought(
    provider: ProviderPicture, check_model: str, state: ProviderState
) -> ProviderState:
    try:
        found = await (await _lookups()).list_models(provider)
    except GatewayError as error:
        return replace(state, problem=f"its models cannot be listed: {error.message}")
    if all(facts.id != check_model for facts in found):
        return replace(state, problem=f"the model {check_model} is not in its list")
    return state


def _without_secrets(provider: ProviderPicture, state: ProviderState) -> ProviderState:
    """Some providers repeat the key they refuse; what is found goes to pages and to an open address."""
    problem, detail = state.problem, state.detail
    for credential in provider.credentials:
        secret = credential.secret.reveal()
        if len(secret) >= SECRET_CHARS_MIN:
            problem, detail = problem.replace(secret, "…"), detail.replace(secret, "…")
    return replace(state, problem=problem, detail=detail)


def store(provider_pk: int, finding: Finding) -> None:
    """Keep the finding as the provider's last one; a provider that was deleted meanwhile is passed over."""
    state = finding.state
    row = ProviderCheck(
        provider_id=provider_pk,
        checked_at=finding.checked_at,
        problem=state.problem[:PROBLEM_CHARS_MAX],
        detail=state.detail[:DETAIL_CHARS_MAX],
        credit_usd=_storable(state.credit_usd),
        latency_ms=state.latency_ms,
    )
    try:
        ProviderCheck.objects.bulk_create(
            [row],
            update_conflicts=True,
            unique_fields=["provider"],
            update_fields=["checked_at", "problem", "detail", "credit_usd", "latency_ms"],
        )
    except IntegrityError:
        log.info("a provider was deleted while it was looked at", extra={"provider": provider_pk})


def _storable(credit_usd: Decimal | None) -> Decimal | None:
    """The amount as its column holds it; one that has no place there is as good as no limit."""
    if credit_usd is None or credit_usd >= CREDIT_USD_MAX:
        return None
    return credit_usd.quantize(CREDIT_EXACT)


def stored_findings() -> dict[int, Finding]:
    """What is known of each provider that was ever looked at, by its number."""
    return {row.provider_id: finding_of(row) for row in ProviderCheck.objects.all()}


def finding_of(row: ProviderCheck) -> Finding:
    """The row as a value."""
    state = ProviderState(row.problem, row.detail, row.credit_usd, row.latency_ms)
    return Finding(state, row.checked_at)


def sentence(state: ProviderState) -> str:
    """One line on a provider."""
    if state.problem:
        return f"PROBLEM: {state.problem}"
    parts = ["ok", state.detail]
    if state.credit_usd is not None:
        parts.append(f"{state.credit_usd.normalize():f} USD left")
    if state.latency_ms is not None:
        parts.append(f"{state.latency_ms} ms")
    return ", ".join(filter(None, parts))
