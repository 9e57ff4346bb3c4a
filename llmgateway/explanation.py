"""Explains a request without sending it, by the very code that serves: what is shown is what would leave.

    who asks -> read -> plan, with its trace -> for each target: the attempt, made and not begun

Blocks, and reads the database for what no picture holds (rows that are switched off): never called on the hot path. It
changes nothing of what the process has learned. Everything is masked before it is handed out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings

from accounting import keys
from accounting import snapshot as keys_snapshot
from accounting.admission.values import Rules
from accounting.masking import Masker
from accounting.models.money import from_pico
from accounting.request_logs import secrets_in
from accounting.snapshot import KeyPicture
from conversion.call import read_call
from conversion.errors import GatewayError
from llmgateway import pipeline
from llmgateway.attempt import Asked
from llmgateway.attribution import origin_of
from llmgateway.errors import row_for
from llmgateway.exchange import ClientRequest
from llmgateway.explained import ExplainedTarget, Explanation, FlagState, Refusal
from llmgateway.explained_targets import explain_targets
from llmgateway.passed_over import passed_over
from llmgateway.runtime import Runtime
from routing import snapshot
from routing.flags import DECLARED, STRICT_CONVERSION
from routing.pictures import RoutePicture, Snapshot
from routing.planning import Plan

NOBODY = KeyPicture(0, "", "", "", enabled=True, expires_at=None, allowed=())
"""Who asks where no key is named: no condition on teams, projects or keys holds."""
SECRET_CHARS_MIN = 8
"""Shorter credentials are no secrets but words, such as the names of local providers."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Found:
    """How far the request comes: the plan, or what stands in its way."""

    model: str = ""
    plan: Plan | None = None
    targets: tuple[ExplainedTarget, ...] = ()
    refusal: Refusal | None = None


def explain(
    ask: ClientRequest,
    key: KeyPicture,
    runtime: Runtime,
    *,
    remarks: Sequence[str] = (),
    follow: Plan | None = None,
    trace: Sequence[str] = (),
) -> Explanation:
    """What would happen to the request if the key's holder sent it now, to the plan's targets if there is one.

    ``remarks`` are the caller's own, said first; ``trace`` is what the plan that is followed said when it was made.
    """
    held = snapshot.in_force()
    masker = masker_for(ask, held)
    steps = [_who_asks(key), *trace]
    now = datetime.now(UTC)
    found = _follow(ask, key, runtime, masker, steps, now, follow)
    plan = found.plan
    route, number = route_of(held, plan)
    explanation = Explanation(
        request_id=ask.id,
        dialect=ask.dialect.value,
        model=found.model,
        caller=_caller(key),
        key_number=key.pk,
        snapshot_number=plan.snapshot_number if plan else (held.number if held else 0),
        alias=plan.alias if plan else "",
        route=number,
        strategy=route.strategy if route else "",
        agent_type=plan.agent_type if plan else "",
        tier=plan.tier if plan else "",
        steps=tuple(steps),
        flags=_flags(held, key, ask.id) if held else (),
        targets=found.targets,
        passed_over=tuple(passed_over(held, plan, found.model, steps, runtime.live)),
        remarks=(*remarks, *_chances(route, ask, runtime)),
        refusal=found.refusal,
    )
    return masked(explanation, masker)


def _follow(
    ask: ClientRequest,
    key: KeyPicture,
    runtime: Runtime,
    masker: Masker,
    steps: list[str],
    now: datetime,
    given: Plan | None,
) -> Found:
    """The way of the request, as ``pipeline.serve`` goes it, as far as before the first attempt is begun."""
    plan, model = None, ""
    try:
        keys.check(key, now=now)
        call = read_call(ask.dialect, ask.body)
        model = call.alias
        origin = origin_of(ask, call, key)
        plan = given or pipeline.plan_for(
            ask, key, call, runtime, project=origin.project, trace=steps
        )
        steps += held_to(keys_snapshot.current().rules_over(key, origin.project))
        flags = snapshot.current().flags
        is_strict = flags.is_on(STRICT_CONVERSION, team=key.team, key=key.name, request_id=ask.id)
        asked = Asked(ask, call, key, origin, is_strict)
        return Found(model, plan, explain_targets(plan, asked, runtime, masker, now))
    except GatewayError as error:
        status = row_for(error, ask.dialect).status
        return Found(model, plan, refusal=Refusal(type(error).__name__, error.message, status))


def held_to(rules: tuple[Rules, ...]) -> list[str]:
    """What the request is held to before it is sent; nothing of it is counted here."""
    told = []
    for rule in rules:
        limits = (
            (rule.requests_per_minute, "requests a minute"),
            (rule.tokens_per_minute, "tokens a minute"),
            (rule.concurrent_requests, "requests under way"),
        )
        words = [f"{limit:,} {what}" for limit, what in limits if limit]
        words += [
            f"{budget.name} ({from_pico(budget.amount_pico).normalize():f} USD)"
            for budget in rule.budgets
        ]
        told.append(f"{rule.name} is held to {', '.join(words)}.")
    return told


def masker_for(ask: ClientRequest, held: Snapshot | None, also: Iterable[str] = ()) -> Masker:
    """Masks what nobody is to see: all credentials of providers, what the client sent as one, and configured patterns."""
    secrets = {*ask.secrets, *secrets_in(tuple(ask.headers.items())), *also}
    for provider in held.providers.values() if held else ():
        secrets |= {credential.secret.reveal() for credential in provider.credentials}
    known = {secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN}
    return Masker(keys_snapshot.current().masks, known)


def masked(value: Value, masker: Masker) -> Value:
    """The value with every text in it masked, however deep."""
    found: Any = value
    if isinstance(found, str):
        found = masker.words(found)
    elif isinstance(found, tuple):
        found = tuple(masked(item, masker) for item in found)
    elif is_dataclass(found) and not isinstance(found, type):
        parts = {each.name: masked(getattr(found, each.name), masker) for each in fields(found)}
        found = replace(found, **parts)
    return found  # type: ignore[no-any-return]


def route_of(held: Snapshot | None, plan: Plan | None) -> tuple[RoutePicture | None, int]:
    """The plan's route and its number among the alias's, from 1; None and 0 for a model that was recognised."""
    if held is None or plan is None or not plan.route:
        return None, 0
    for alias in (*held.exact.values(), *held.patterns):
        for number, route in enumerate(alias.routes, 1):
            if route.pk == plan.route:
                return route, number
    return None, 0


def _who_asks(key: KeyPicture) -> str:
    if not key.team:
        return "Nobody in particular asks: conditions on teams, projects and API keys do not hold."
    return f"{_caller(key)} asks."


def _caller(key: KeyPicture) -> str:
    if not key.team:
        return "nobody in particular"
    who = f"API key {key.name} of team {key.team}" if key.name else f"Team {key.team}"
    return f"{who}, project {key.project}" if key.project else who


def _flags(held: Snapshot, key: KeyPicture, request_id: str) -> tuple[FlagState, ...]:
    return tuple(
        FlagState(
            flag.name,
            held.flags.is_on(flag.name, team=key.team, key=key.name, request_id=request_id),
            flag.sentence,
        )
        for flag in DECLARED.values()
    )


def _chances(route: RoutePicture | None, ask: ClientRequest, runtime: Runtime) -> Iterator[str]:
    """What may be otherwise for the next request."""
    if route is None or len(route.targets) < 2:
        return
    if route.is_sticky and ask.session and route.strategy != "in_order":
        is_known = runtime.live.sessions.last(route.pk, ask.session) is not None
        yield (
            f"The route keeps sessions together: this one {'has its target already' if is_known else 'is new'}."
        )
    elif route.strategy == "weighted":
        shares = ", ".join(
            f"{target.provider.slug}: {target.upstream_model} {target.weight}"
            for target in route.targets
        )
        yield f"Chance chose the first target, by weight ({shares}): the next request may go elsewhere."


def bystander() -> Runtime:
    """A runtime that is never started, for a process that only explains: it has learned nothing."""
    return Runtime(settings.JOURNAL_DIR)
