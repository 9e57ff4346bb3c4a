"""POST /v1/messages/count_tokens: how long a prompt is, by whoever knows best.

The first target decides: an upstream that counts is asked, and its figure passed on. Everything else, and whatever goes
wrong on that way, ends in an estimate: a count is worth nothing to a client that has to wait for it or repeat it.
Nothing is booked, because nothing is spent, and no budget stands against it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import orjson

from accounting import keys
from conversion.call import Call, read_count_call
from conversion.counting import count_prompt
from conversion.dialects import Dialect
from conversion.editing.calls import edit_call
from conversion.errors import GatewayError, TransformationFailed
from conversion.own_signatures import without_own_signatures
from conversion.passthrough import write_request
from conversion.report import Report
from llmgateway import pipeline, tokenizer
from llmgateway.attribution import project_of
from llmgateway.exchange import ClientRequest
from llmgateway.passing import headers_along, query_along
from llmgateway.runtime import Runtime
from routing.pictures import Target
from routing.upstream.attempt import ERROR_BYTES_MAX, choose_credential, send
from routing.upstream.outgoing import Outgoing

COUNT_HEADER = "x-llmgateway-token-count"
INLINE_BYTES_MAX = 32 * 1024
"""Longer bodies are counted in a thread: the tokenizer lets the event loop go on."""


@dataclass(frozen=True, slots=True)
class Count:
    """The answer's body, and whether the figure is ``exact`` or ``estimated``."""

    body: bytes
    source: str
    provider: str
    upstream_model: str


async def count(ask: ClientRequest, runtime: Runtime) -> Count:
    """The tokens of the request's prompt.

    Raises:
        KeyMissing, KeyRefused: who asks is not known.
        RequestInvalid: the body is no Messages request.
        ModelUnknown, NoTarget: there is nobody to answer such a request.
    """
    ask.key = key = keys.authenticate(ask.secrets, now=ask.accepted_at)
    call = read_count_call(ask.body)
    ask.alias = call.alias
    target = pipeline.plan_for(ask, key, call, runtime, project=project_of(ask, key)).targets[0]
    told = None
    with suppress(TransformationFailed):  # the request itself will tell of it
        call = as_sent(call, target)
        told = await ask_upstream(ask, call, target, runtime) if can_count(target) else None
    if told is None:
        tokens = await estimate(call, target)
        body, source = orjson.dumps({"input_tokens": tokens}), "estimated"
    else:
        body, source = told, "exact"
    return Count(body, source, target.provider.slug, target.upstream_model)


def as_sent(call: Call, target: Target) -> Call:
    """The call after the target's transformations, without members that only these have added: no prompt is in them.

    Raises:
        TransformationFailed: one left what is no request.
    """
    edited = edit_call(call, target.request_edits)
    kept = {name: value for name, value in edited.body.items() if name in call.body}
    if len(kept) == len(edited.body):
        return edited
    return read_count_call(msgspec.json.encode(kept))


def can_count(target: Target) -> bool:
    """Whether the target's upstream counts Messages prompts exactly."""
    kind = target.provider.kind
    return bool(kind.count_path) and target.provider.dialect is Dialect.ANTHROPIC_MESSAGES


async def estimate(call: Call, target: Target) -> int:
    """The tokens by the local tokenizer."""
    is_claude = "claude" in call.alias.lower() or "claude" in target.upstream_model.lower()
    if len(call.raw) <= INLINE_BYTES_MAX:
        return count_prompt(call.body, is_claude=is_claude, count=tokenizer.count_tokens)
    return await asyncio.to_thread(
        count_prompt, call.body, is_claude=is_claude, count=tokenizer.count_tokens
    )


async def ask_upstream(
    ask: ClientRequest, call: Call, target: Target, runtime: Runtime
) -> bytes | None:
    """The upstream's own answer, byte for byte; None where it gives none."""
    dialect = Dialect.ANTHROPIC_MESSAGES
    kind = target.provider.kind
    outgoing = Outgoing(
        write_request(
            call,
            target.upstream_model,
            without_own_signatures(call, Report()),
            ask_for_usage=False,
        ),
        dialect,
        headers=headers_along(ask, dialect, kind.client_headers),
        query=query_along(ask, dialect),
        path=kind.count_path,
    )
    try:
        if target.provider.is_pass_through:
            return None  # a count is not worth a question about credentials
        credential = choose_credential(target, dice=runtime.dice)
        reply = await send(runtime.pools, target, outgoing, credential=credential)
        try:
            body = await reply.read_all(bytes_max=ERROR_BYTES_MAX)
        finally:
            await reply.close()
        answer = orjson.loads(body) if reply.status == 200 else None
    except (GatewayError, orjson.JSONDecodeError):
        return None
    is_count = isinstance(answer, dict) and isinstance(answer.get("input_tokens"), int)
    return body if is_count else None
