"""THE STORY: what happens to one request, top to bottom.

    authenticate -> read -> plan -> admit -> for each target: translate, note, send -> relay -> settle

No database is asked between the first step and the last: configuration comes from the snapshots, records go
through the journal.
"""

import asyncio
import logging
import random
import time
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from django.http.response import HttpResponseBase

from accounting import keys
from accounting import snapshot as keys_snapshot
from accounting.pricing import cost_of
from accounting.snapshot import KeyPicture
from conversion.call import Call, read_call
from conversion.errors import GatewayError, UpstreamError
from conversion.needs import Needs
from conversion.sse import PING
from conversion.usage import Usage
from llmgateway.admitting import admit, limit_headers
from llmgateway.answers import (
    EVENT_STREAM,
    EventStream,
    WholeAnswer,
    early_headers,
    error_answer,
    id_headers,
)
from llmgateway.attempt import Asked, Attempt, Status, note_failure
from llmgateway.attribution import origin_of
from llmgateway.estimates import ANSWER_TOKENS
from llmgateway.exchange import ClientRequest
from llmgateway.failures import FailedAttempt, FallbackExhausted
from llmgateway.recording import MakeRecorder, recorded, recorder_for
from llmgateway.relay import Relay
from llmgateway.runtime import Runtime
from llmgateway.wire import Wire
from routing import planning, snapshot
from routing.errors import ModelUnknown
from routing.flags import STRICT_CONVERSION
from routing.pictures import RetryPolicy, Target
from routing.planning import Plan, Question
from routing.upstream.errors import NetworkError

log = logging.getLogger(__name__)

# Plain strings: an enumeration's ``value`` is two calls.
SUCCEEDED, FAILED = Status.SUCCEEDED.value, Status.FAILED.value
CLIENT_CLOSED, INTERRUPTED = Status.CLIENT_CLOSED.value, Status.INTERRUPTED.value
HEADER_CHARS_MAX = 1000
BODY_BYTES_AT_ONCE = 2 * 1024 * 1024
"""Up to here a request is translated on the loop, at 30 ms a megabyte, or 70 where it is all small blocks."""


async def serve(ask: ClientRequest, wire: Wire, runtime: Runtime) -> HttpResponseBase:
    """Answer one client request, or raise the GatewayError that says why not.

    Once the first byte of content has left, nothing is raised: the stream ends with an error event in the
    client's dialect. However it ends, every attempt gets its usage record.
    """
    key = keys.authenticate(ask.secrets, now=ask.accepted_at)  # who asks
    return await serve_key(key, ask, wire, runtime)


async def serve_key(
    key: KeyPicture,
    ask: ClientRequest,
    wire: Wire,
    runtime: Runtime,
    *,
    plan: Plan | None = None,
    make_recorder: MakeRecorder = recorder_for,
) -> HttpResponseBase:
    """The rest of the story, for a key that is let in; errors as above.

    A plan that somebody else made is followed; who makes the recorder sees all that crosses.
    """
    ask.key = key
    call = read_call(ask.dialect, ask.body)  # what they ask
    ask.alias = call.alias
    origin = origin_of(ask, call, key)  # whom it is booked to
    plan = plan or plan_for(ask, key, call, runtime, project=origin.project)  # where it may go
    if call.stream:
        wire.keep_alive(
            PING[ask.dialect.family],
            after_s=runtime.ping_after_s,
            content_type=EVENT_STREAM,
            headers=partial(early_headers, ask.id),
        )
    flags = snapshot.current().flags
    is_strict = STRICT_CONVERSION in flags.ever_on and flags.is_on(
        STRICT_CONVERSION, team=key.team, key=key.name, request_id=ask.id
    )
    recorder = make_recorder(ask, key, flags, runtime.request_logs)
    asked = Asked(ask, call, key, origin, is_strict, recorder)
    rules = keys_snapshot.current().rules_over(key, origin.project)
    if rules:  # may they afford it
        asked.admission = await admit(rules, ask, call, plan, runtime.gate)
    asked.begin(runtime.under_way)
    try:
        answer = await first_answer(plan, asked, wire, runtime)
    except BaseException:
        asked.finish()
        raise
    if not isinstance(answer, EventStream):  # a stream is over later; its relay knows when
        asked.finish()
    return answer


def plan_for(
    ask: ClientRequest,
    key: KeyPicture,
    call: Call,
    runtime: Runtime,
    *,
    project: str,
    trace: list[str] | None = None,
) -> Plan:
    """The targets that may answer this key's call.

    Raises:
        ModelUnknown: no alias matches, or the key may not ask for it; the client is told the same.
    """
    held = snapshot.current()
    known = planning.known_plan(held, call.alias)
    if known is not None and trace is None:
        check_alias(key, call)
        return known
    question = Question(
        call.alias,
        dice=runtime.dice,
        call=call,
        team=key.team,
        project=project,
        key=key.name,
        session=ask.session,
        request_id=ask.id,
        headers=ask.headers,
        live=runtime.live,
        price_of=price_of,
        trace=trace,
    )
    plan = planning.make_plan(held, question)
    check_alias(key, call)
    return plan


def check_alias(key: KeyPicture, call: Call) -> None:
    """Nothing, where the key may ask for the model.

    Raises:
        ModelUnknown: it may not.
    """
    if not key.may_ask_for(call.alias):
        raise ModelUnknown(
            f"The model {call.alias!r} is not open to the API key {key.name!r}. GET /v1/models lists what is."
        )


def price_of(target: Target, needs: Needs) -> Decimal | None:
    """What a target would cost for a prompt and a middling answer, in USD; None where its price is not known."""
    tag = keys_snapshot.current().price_at(
        target.provider.slug, target.upstream_model, datetime.now(UTC)
    )
    usage = Usage(prompt_tokens=needs.prompt_tokens, completion_tokens=ANSWER_TOKENS)
    return cost_of(usage, tag, images=needs.images).amount_usd


async def first_answer(plan: Plan, asked: Asked, wire: Wire, runtime: Runtime) -> HttpResponseBase:
    """The first answer that any target gives: targets in order, each repeated as its provider's policy says.

    Raises:
        FallbackExhausted: none did.
    """
    failures: list[FailedAttempt] = []
    for target in plan.targets:
        answer = await answer_from(target, plan, asked, wire, runtime, failures)
        if answer is not None:
            return answer
        error = failures[-1].error
        note_failure(target, error, runtime.live)
        if not error.may_fall_back:
            break
    raise exhausted(failures, asked)


def exhausted(failures: list[FailedAttempt], asked: Asked) -> FallbackExhausted:
    """What the client is told when no target answered; it is in the request's log, too."""
    failure = FallbackExhausted(failures)
    if asked.recorder is not None:
        asked.recorder.client_error(
            error_answer(failure, asked.ask.dialect, request_id=asked.ask.id)
        )
    return failure


async def answer_from(
    target: Target,
    plan: Plan,
    asked: Asked,
    wire: Wire,
    runtime: Runtime,
    failures: list[FailedAttempt],
) -> HttpResponseBase | None:
    """One target's answer; None when it is used up, and ``failures`` has grown by each of its attempts."""
    other_credentials = len(target.credentials) - 1
    repeat = 0
    while True:
        attempt: Attempt | None = None
        after = failures[-1].error if failures else None
        try:
            if len(asked.call.raw) <= BODY_BYTES_AT_ONCE:
                attempt = Attempt(asked, target, runtime.ledger)
            else:  # in a thread, so that others are served meanwhile
                attempt = await asyncio.to_thread(Attempt, asked, target, runtime.ledger)
            answer = await answer_of(attempt, wire, runtime, number=len(failures) + 1, after=after)
        except GatewayError as error:
            failures.append(
                FailedAttempt(target.provider.slug, target.upstream_model, error.as_value())
            )
        else:
            note_success(attempt, plan, runtime)
            return answer
        failure = failures[-1].error
        if rest_credential(attempt, failure, runtime) and other_credentials > 0:
            other_credentials -= 1
            continue  # another credential may do better, at once
        waited_s = time.monotonic() - asked.ask.accepted_s
        wait_s = wait_before_repeat(target.provider.retries, failure, repeat, runtime.dice)
        if wait_s is None or waited_s + wait_s >= target.provider.timeouts.total_s:
            return None
        repeat += 1
        await asyncio.sleep(wait_s)


def note_success(attempt: Attempt, plan: Plan, runtime: Runtime) -> None:
    """Remember that a deployment answers, how quickly that began, and whose session it has now."""
    live, deployment = runtime.live, attempt.target.pk
    if not attempt.asked.call.stream:  # a stream has yet to come to its end
        live.cooldowns.succeeded(deployment)
    live.latencies.note(deployment, attempt.elapsed_s() * 1000)
    if plan.session:
        live.sessions.note(plan.route, plan.session, deployment)


def rest_credential(attempt: Attempt | None, error: GatewayError, runtime: Runtime) -> bool:
    """Let the attempt's credential rest if the failure is about it; whether it was."""
    if attempt is None or attempt.credential is None:
        return False
    return runtime.live.cooldowns.rest_credential(attempt.credential.pk, error, time.monotonic())


async def answer_of(
    attempt: Attempt,
    wire: Wire,
    runtime: Runtime,
    *,
    number: int,
    after: GatewayError | None,
) -> HttpResponseBase:
    """The answer of one attempt; a stream is handed out once it has content.

    Raises:
        GatewayError: the attempt failed; it is booked already.
    """
    handed_out = False
    status, error = INTERRUPTED, None
    recorder = attempt.asked.recorder
    try:
        reply = await attempt.begin(runtime, number=number, after=after)
        headers = answer_headers(attempt, number)
        if attempt.asked.call.stream:
            relay = Relay(attempt, reply, first=await attempt.first_events(reply), wire=wire)
            handed_out = True
            attempt.forget_prompt()
            return EventStream(recorded(relay, recorder, headers), headers)
        body = await attempt.whole_answer(reply)
        status = SUCCEEDED
        if recorder is not None:
            recorder.client_answer(headers, body)
        attempt.settle(status, answer_bytes=len(body))
        return WholeAnswer(body, {**headers, **cost_header(attempt)})
    except asyncio.CancelledError:
        status = CLIENT_CLOSED if wire.client_is_gone else INTERRUPTED
        raise
    except GatewayError as failure:
        status, error = FAILED, failure
        raise
    finally:
        if not handed_out:
            attempt.settle(status, error=error)
            if attempt.reply is not None:
                await attempt.reply.close()


def wait_before_repeat(
    policy: RetryPolicy, error: GatewayError, repeat: int, dice: random.Random
) -> float | None:
    """Seconds to wait before the same target is asked again; None when it is not.

    Exponential with full jitter over the upper half, so that clients that failed together do not come back
    together. A Retry-After beyond the policy's longest wait is left to the client to obey.
    """
    if repeat >= policy.retries_max or not error.may_retry:
        return None
    if isinstance(error, NetworkError) and not policy.network_errors:
        return None
    if isinstance(error, UpstreamError) and error.upstream_status not in policy.statuses:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= policy.backoff_max_s else None
    ceiling_s = min(policy.backoff_max_s, policy.backoff_s * 2.0**repeat)
    return ceiling_s * (0.5 + 0.5 * dice.random())


def answer_headers(attempt: Attempt, number: int) -> dict[str, str]:
    """The headers that say who answered, and what conversion left out."""
    target = attempt.target
    headers = {
        **id_headers(attempt.asked.ask.id),
        "x-llmgateway-provider": target.provider.slug,
        "x-llmgateway-model": header_text(target.upstream_model),
        "x-llmgateway-attempts": str(number),
        **attempt.native_headers(),
    }
    admission = attempt.asked.admission
    if admission is not None:
        headers.update(limit_headers(admission.standings, attempt.asked.ask.dialect))
    dropped = attempt.converter.report.dropped_paths
    if dropped:
        headers["x-llmgateway-dropped"] = header_text(", ".join(dropped))
    return headers


def cost_header(attempt: Attempt) -> dict[str, str]:
    """What the attempt cost, as plain digits; nothing when that is not known."""
    cost_usd = attempt.entry.cost_usd if attempt.entry else None
    return {} if cost_usd is None else {"x-llmgateway-cost-usd": f"{cost_usd:f}"}


def header_text(text: str) -> str:
    """The text as it may stand in a header: visible ASCII only, not longer than a proxy takes."""
    if len(text) <= HEADER_CHARS_MAX and text.isascii() and text.isprintable():
        return text
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:HEADER_CHARS_MAX]
