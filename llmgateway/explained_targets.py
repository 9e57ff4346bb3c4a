"""Explains one target of a plan with the code that serves it: the attempt is made, and only not begun."""

import time
from collections.abc import Mapping
from datetime import datetime

from accounting.masking import MARK, Masker, unescaped
from accounting.secret_shapes import is_credential_header
from conversion.call import Call
from conversion.editing.calls import edit_call
from conversion.errors import GatewayError
from llmgateway.attempt import Asked, Attempt
from llmgateway.errors import row_for
from llmgateway.estimates import estimate
from llmgateway.explained import AppliedEdit, ExplainedTarget, Refusal, UpstreamRequest
from llmgateway.runtime import Runtime
from routing.header_rules import Rule
from routing.live import Live
from routing.pictures import CredentialPicture, ProviderPicture, Target
from routing.planning import Plan
from routing.upstream.attempt import choose_credential
from routing.upstream.outgoing import Outgoing, address_of, write_headers

Resting = Mapping[int, tuple[float, str]]


def explain_targets(
    plan: Plan, asked: Asked, runtime: Runtime, masker: Masker, now: datetime
) -> tuple[ExplainedTarget, ...]:
    """The plan's targets in order. One that cannot take the request says why; what follows is explained all the same."""
    explained = []
    is_reached = True
    for number, target in enumerate(plan.targets, 1):
        one, may_go_on = _explain_target(
            target, asked, runtime, masker, now, number=number, is_reached=is_reached
        )
        explained.append(one)
        is_reached = is_reached and may_go_on
    return tuple(explained)


def _explain_target(
    target: Target,
    asked: Asked,
    runtime: Runtime,
    masker: Masker,
    now: datetime,
    *,
    number: int,
    is_reached: bool,
) -> tuple[ExplainedTarget, bool]:
    """The target explained, and whether those behind it would be tried if it refuses."""
    provider, now_s = target.provider, time.monotonic()
    resting = runtime.live.cooldowns.resting(now_s)
    credential = None
    if not provider.is_pass_through:
        credential = choose_credential(
            target,
            dice=runtime.dice,
            rest_left_s=lambda pk: resting[pk][0] if pk in resting else 0.0,
        )
    dialect = provider.dialect_for(asked.call)
    attempt: Attempt | None = None
    request, error = None, None
    try:
        attempt = Attempt(asked, target, runtime.ledger)
        request = request_of(provider, credential, attempt.outgoing(), masker)
    except GatewayError as failure:
        error = failure
    one = ExplainedTarget(
        number=number,
        provider=provider.slug,
        kind=provider.kind.label,
        upstream_model=target.upstream_model,
        dialect=dialect.value,
        path=provider.kind.paths.get(dialect, ""),
        state=state_of(target, runtime.live, now_s),
        credential=credential_words(target, credential, resting),
        estimate=estimate(_edited(asked.call, target), target, now),
        policy=policy_of(provider),
        header_rules=tuple(map(rule_words, target.header_rules if provider.kind.calls_out else ())),
        edits=edits_of(target, asked.call),
        request=request,
        notes=tuple(attempt.converter.report.notes) if attempt else (),
        refusal=refusal_of(error, asked) if error else None,
        is_reached=is_reached,
    )
    return one, error is None or error.may_fall_back


def refusal_of(error: GatewayError, asked: Asked) -> Refusal:
    """The error in the words that a client gets."""
    status = row_for(error, asked.call.dialect).status
    return Refusal(type(error).__name__, error.message, status)


def request_of(
    provider: ProviderPicture,
    credential: CredentialPicture | None,
    outgoing: Outgoing,
    masker: Masker,
) -> UpstreamRequest:
    """What the attempt would send, with everything masked that nobody is to see.

    Raises:
        UpstreamUnreachable: the provider's base URL is no address.
    """
    body = shown_body(outgoing.body, masker)
    if not provider.kind.calls_out:
        return UpstreamRequest("", "", (), body)
    ours = {name.lower() for name, _value in provider.kind.credential_headers("-")}
    headers = tuple(
        (name, MARK if name.lower() in ours or is_credential_header(name) else value)
        for name, value in write_headers(provider, credential, outgoing).items()
    )
    return UpstreamRequest("POST", str(address_of(provider, outgoing)), headers, body)


def shown_body(body: bytes, masker: Masker) -> str:
    """The body as it is where there is no secret in it, else masked."""
    masked = masker.body(body, bytes_max=len(body))
    is_clean = masked == unescaped(body, len(body))[0]
    return (body if is_clean else masked).decode("utf-8", "replace")


def state_of(target: Target, live: Live, now_s: float) -> str:
    """Whether the target is skipped for a while, and how quick it was."""
    cooling = live.cooldowns.state(now_s).get(target.pk)
    mean_ms = live.latencies.mean_ms(target.pk)
    quick = "" if mean_ms is None else f"; its answers begin after {mean_ms:.0f} ms on average"
    if cooling is None:
        return f"ready{quick}"
    left_s, failures, reason = cooling
    after = f"after {failures} failure{'' if failures == 1 else 's'} in a row, the last {reason}"
    if live.cooldowns.is_skipped(target.pk, now_s):
        return f"cooling down for {left_s:.0f} s more, {after}"
    return f"cooled down, {after}: the next request is its trial"


def credential_words(target: Target, chosen: CredentialPicture | None, resting: Resting) -> str:
    """Which credential would go along, and why that one."""
    if target.provider.is_pass_through:
        return "the client's own (Authorization or x-api-key)"
    if chosen is None:
        return "none"
    named = f"{chosen.label} (…{chosen.secret.last_four or '****'})"
    if chosen.pk in resting:
        left_s, reason = resting[chosen.pk]
        named += f", although it rests for {left_s:.0f} s more after {reason}"
    if len(target.credentials) == 1:
        return f"{named}, the only one"
    awake = [each for each in target.credentials if each.pk not in resting] or target.credentials
    weights = sum(each.weight for each in awake)
    others = len(target.credentials) - len(awake)
    rest = f"; {others} resting" if others else ""
    return f"{named}, drawn by weight: {chosen.weight} of {weights}{rest}"


def policy_of(provider: ProviderPicture) -> tuple[str, ...]:
    """Timeouts, retries and limits in force, a sentence each."""
    waits, retries = provider.timeouts, provider.retries
    sentences = [
        f"Timeouts: connect {waits.connect_s:g} s, first byte {waits.first_byte_s:g} s, "
        f"between bytes {waits.idle_s:g} s, in all {waits.total_s:g} s."
    ]
    if retries.retries_max:
        reasons = [f"status {', '.join(map(str, sorted(retries.statuses)))}"]
        reasons += ["network errors"] if retries.network_errors else []
        sentences.append(
            f"Retries: up to {retries.retries_max} here before the next target, after {retries.backoff_s:g} s to "
            f"{retries.backoff_max_s:g} s, for {' and '.join(reasons)}."
        )
    else:
        sentences.append("Retries: none; a failure goes to the next target at once.")
    if provider.concurrent_max:
        sentences.append(
            f"Limit: {provider.concurrent_max} requests at once in each process, {provider.queue_max} more wait up to "
            f"{provider.queue_wait_s:g} s."
        )
    return tuple(sentences)


def rule_words(rule: Rule) -> str:
    """A header rule as a line."""
    value = MARK if rule.value and is_credential_header(rule.name) else rule.value
    return f"{rule.action} {rule.name}{f': {value}' if value else ''}"


def edits_of(target: Target, call: Call) -> tuple[AppliedEdit, ...]:
    """The target's transformations in order, and whether each of the request's changes this one."""
    applied = []
    before = call
    for count, edit in enumerate(target.request_edits, 1):
        after = _edited(call, target, count)
        applied.append(AppliedEdit(edit.label, "request", after.body != before.body))
        before = after
    answers = (AppliedEdit(edit.label, "answer", None) for edit in target.response_edits)
    return (*applied, *answers)


def _edited(call: Call, target: Target, count: int | None = None) -> Call:
    """The call after the first of the target's edits; as it was where they fail, which the attempt tells."""
    edits = target.request_edits[:count]
    try:
        return edit_call(call, edits) if edits else call
    except GatewayError:
        return call
