"""One attempt: from the translated request to the booked record. One object for each; nothing is shared."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from accounting import snapshot as keys_snapshot
from accounting.entries import Entry
from accounting.journal import Segment
from accounting.ledger import Ledger
from accounting.masking import MARK, Masker
from accounting.models import UsageRecord
from accounting.request_logs import secrets_in
from accounting.snapshot import KeyPicture
from conversion.call import Call
from conversion.dialects import WORDS, Converter
from conversion.editing.answers import EditedAnswer
from conversion.editing.calls import edit_call
from conversion.errors import (
    GatewayError,
    RequestInexpressible,
    UpstreamError,
    UpstreamInvalid,
    UpstreamOutOfCredit,
    UpstreamRateLimited,
    UpstreamUnauthorized,
)
from conversion.needs import count_images
from conversion.pairs import make_converter
from conversion.report import Report
from conversion.usage import Usage, is_amount
from llmgateway.admitting import Admission
from llmgateway.attribution import Origin
from llmgateway.exchange import ClientRequest
from llmgateway.passing import (
    client_credential,
    headers_along,
    limits_in,
    native_error,
    query_along,
    read_retry_after,
)
from llmgateway.recording import Recorder
from llmgateway.runtime import Runtime
from routing.live import Live
from routing.pictures import CredentialPicture, Target
from routing.upstream.attempt import (
    ERROR_BYTES_MAX,
    Reply,
    choose_credential,
    send,
)
from routing.upstream.errors import NetworkError
from routing.upstream.outgoing import Outgoing, write_headers
from routing.upstream.turns import Turn

Status = UsageRecord.Status
OURS_TO_MEND = (UpstreamUnauthorized, UpstreamOutOfCredit)


class Asked(msgspec.Struct, eq=False):
    """What all attempts of one request have in common. ``is_strict``: nothing may be left out. ``recorder``: see recording."""

    ask: ClientRequest
    call: Call
    key: KeyPicture
    origin: Origin
    is_strict: bool = False
    recorder: Recorder | None = None
    admission: Admission | None = None
    under_way: "dict[str, Asked] | None" = None
    attempt: "Attempt | None" = None
    attempts: int = 0

    def begin(self, under_way: "dict[str, Asked]") -> None:
        """The request is under way: the live view can see it from now on."""
        self.under_way = under_way
        under_way[self.ask.id] = self

    def finish(self) -> None:
        """The request is over: give back what was held for it."""
        self.attempt = None  # which knows this object, too: no collector needs to find that out
        if self.under_way is not None:
            self.under_way.pop(self.ask.id, None)
        if self.admission is not None:
            self.admission.finish()


class Attempt:
    """One upstream call and its record. ``settle`` must be called once it was begun, however it ends."""

    __slots__ = (
        "_began_s",
        "_ledger",
        "_live",
        "_segment",
        "_turn",
        "asked",
        "converter",
        "credential",
        "dialect",
        "entry",
        "reply",
        "target",
        "ttft_ms",
    )

    def __init__(self, asked: Asked, target: Target, ledger: Ledger) -> None:
        """Translate the request for the target.

        Raises:
            TransformationFailed: a transformation left what is no request.
            RequestInvalid: the request is broken, or the target cannot take it (all of it, where that is asked for).
        """
        ask, call = asked.ask, asked.call
        self.asked = asked
        self.target = target
        self.dialect = target.provider.dialect_for(call)
        edited = edit_call(call, target.request_edits) if target.request_edits else call
        self.converter: Converter = make_converter(
            edited,
            self.dialect,
            target.traits,
            answer_id=ask.id.removeprefix("req_"),
            created_s=int(ask.accepted_at.timestamp()),
        )
        if target.response_edits:
            self.converter = EditedAnswer(self.converter, call.dialect, target.response_edits)
        if asked.is_strict:
            refuse_losses(self.converter.report, target)
        self.reply: Reply | None = None
        self.entry: Entry | None = None
        self.credential: CredentialPicture | None = None
        self._segment: Segment | None = None
        self._turn: Turn | None = None
        self._live: Live | None = None
        self._ledger = ledger
        self._began_s = 0.0
        self.ttft_ms: int | None = None

    async def begin(self, runtime: Runtime, *, number: int, after: GatewayError | None) -> Reply:
        """Note the attempt in the journal, send it, and return the answer that has begun.

        ``after`` is what the attempt before this one failed with.

        Raises:
            ProviderBusy: the provider had no turn for it; nothing was sent.
            CredentialNotSent: the provider wants the client's own credential; nothing was sent.
            JournalUnwritable: nothing was sent.
            NetworkError: nobody answered.
            GatewayError: the upstream answered with an error.
        """
        provider, live = self.target.provider, runtime.live
        self._live = live
        traceparent, ask = "", self.asked.ask
        if runtime.tracer is not None and ask.trace is not None:
            traceparent = runtime.tracer.attempt(ask.trace, record_id(ask, number))
        outgoing = self.outgoing(traceparent)
        self._turn = await runtime.turns.take(provider)
        self._began_s = time.monotonic()
        self.asked.attempt, self.asked.attempts = self, number
        self.entry = self._new_entry(number, after)
        self._segment = self._ledger.open_entry(self.entry)
        ask.records.append(self.entry)
        live.cooldowns.begin(self.target.pk, self._began_s)
        if not provider.is_pass_through:
            self.credential = choose_credential(
                self.target,
                dice=runtime.dice,
                rest_left_s=lambda pk: live.cooldowns.rest_left_s(pk, self._began_s),
            )
        recorder = self.asked.recorder
        if recorder is not None:
            sent = write_headers(provider, self.credential, outgoing)
            recorder.upstream_request(
                sent if provider.kind.calls_out else {}, outgoing.body, secrets=self.secrets()
            )
        reply = self.reply = await send(
            runtime.pools, self.target, outgoing, credential=self.credential
        )
        if recorder is not None:
            recorder.upstream_answer(reply.status, reply.headers)
            reply.on_piece = recorder.upstream_piece
        self.entry.upstream_status = reply.status
        if provider.kind.id_header:
            self.entry.upstream_id = reply.header(provider.kind.id_header)
        if reply.status >= 300:
            raise await self._read_error(reply)
        return reply

    def outgoing(self, traceparent: str = "") -> Outgoing:
        """What is sent, but for the gateway's credential.

        Raises:
            CredentialNotSent: the provider wants the client's own, and there is none.
        """
        ask, call, key, target = self.asked.ask, self.asked.call, self.asked.key, self.target
        headers = headers_along(ask, self.dialect, target.provider.kind.client_headers)
        if traceparent:
            headers = {**headers, "traceparent": traceparent}
        if target.provider.is_pass_through:
            headers = {**headers, **client_credential(ask, target.provider.slug)}
        places: Mapping[str, str] = {}
        if target.header_rules:
            places = {
                "request_id": ask.id,
                "team": key.team,
                "project": self.asked.origin.project,
                "key": key.name,
                "model": call.alias,
                "upstream_model": target.upstream_model,
                "session": self.asked.origin.session,
                "agent": ask.agent,
            }
        return Outgoing(
            self.converter.request,
            self.dialect,
            stream=call.stream,
            headers=headers,
            query=query_along(ask, self.dialect),
            rules=target.header_rules,
            client_headers=ask.headers,
            places=places,
        )

    async def _read_error(self, reply: Reply) -> GatewayError:
        try:
            body = await reply.read_all(bytes_max=ERROR_BYTES_MAX)
        except NetworkError:
            body = b""  # status and headers say what to do, whatever became of the words
        wait_s = read_retry_after(reply.headers, now=datetime.now(UTC))
        secret = self.credential.secret.reveal().encode() if self.credential else b""
        told = body.replace(secret, MARK.encode()) if secret else body
        error = self.target.provider.kind.read_error(reply.status, told, wait_s)
        is_ours = isinstance(error, OURS_TO_MEND) and not self.target.provider.is_pass_through
        if isinstance(error, UpstreamError) and told == body and not is_ours:
            error.native = native_error(reply, body, self.asked.call.dialect, self.dialect)
        return error

    def held_back(self) -> bytes:
        """The client's events that transformations hold back, for a stream that broke off."""
        converter = self.converter
        return converter.release() if isinstance(converter, EditedAnswer) else b""

    async def whole_answer(self, reply: Reply) -> bytes:
        """The client's whole answer.

        Raises:
            GatewayError: the answer broke off, or is none.
        """
        return self.converter.read_answer(await reply.read_all())

    async def first_events(self, reply: Reply) -> bytes:
        """The client's events up to the first that holds content; until then a failure can still be told as one.

        Raises:
            GatewayError: the stream failed before it held content.
        """
        converter = self.converter
        content_type = reply.header("content-type")
        is_whole = (
            "json" in content_type and "ndjson" not in content_type
        )  # Ollama streams the latter
        if is_whole:
            # A 200 with an error inside says so here; a whole answer where a stream was asked for is none.
            converter.read_answer(await reply.read_all())
            raise UpstreamInvalid(
                "the provider answered in one piece although a stream was asked for"
            )
        events: list[bytes] = []
        while not (converter.content_started or converter.done):
            piece = await reply.read()
            events.append(converter.feed(piece) if piece else converter.finish())
            if converter.failure is not None:
                raise converter.failure
            if not piece:
                break
        return b"".join(events)

    def forget_prompt(self) -> None:
        """Let go of what was asked and sent: once an answer has begun, no other target is asked, and a long one holds megabytes."""
        asked = self.asked
        self.converter.drop_request()
        asked.call = msgspec.structs.replace(asked.call, raw=b"", body={})
        asked.ask.body = b""

    def note_end(self, error: GatewayError | None) -> None:
        """Remember of the deployment how a stream of its ended: well, or broken off after it had begun."""
        if self._live is None:
            return
        if error is None:
            self._live.cooldowns.succeeded(self.target.pk)
        else:
            note_failure(self.target, error, self._live)

    def elapsed_s(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began_s

    def settle(
        self,
        status: str,
        *,
        error: GatewayError | None = None,
        answer_bytes: int = 0,
    ) -> None:
        """Give the turn back and book the attempt; without effect where it was never noted, or is booked already."""
        if self._turn is not None:
            self._turn.give_back()
            self._turn = None
        entry, segment = self.entry, self._segment
        if entry is None or segment is None:
            return
        self._segment = None
        converter = self.converter
        entry.status = status
        entry.duration_ms = round(self.elapsed_s() * 1000)
        entry.ttft_ms = self.ttft_ms
        entry.answer_bytes = answer_bytes
        entry.answered_model = converter.answered_model
        # The header's id is the call's: what a provider's own log and support go by.
        entry.upstream_id = entry.upstream_id or converter.upstream_id
        entry.finish_reason = converter.finish_reason or ""
        if converter.report.notes:
            entry.notes = [[note.kind, note.path, note.why] for note in converter.report.notes]
        if error is not None:
            self.hide_secrets_in(error)
            entry.error = type(error).__name__
            entry.error_message = error.message
            if isinstance(error, UpstreamError) and error.upstream_status:
                entry.upstream_status = error.upstream_status
        self._ledger.settle(entry, segment, self._usage())
        if self.asked.admission is not None:
            self.asked.admission.note(entry)
        if self.asked.recorder is not None:
            self.asked.recorder.finish(entry)

    def hide_secrets_in(self, error: GatewayError) -> None:
        """Take out of what an error tells what an upstream may have repeated: the credential, or the client's own."""
        masks = keys_snapshot.current().masks
        error.message = Masker(masks, self.secrets()).words(error.message)
        error.args = (error.message,)

    def secrets(self) -> set[str]:
        """What must be told to nobody: the credential in use, and what the client sent as one."""
        own = {self.credential.secret.reveal()} if self.credential else set()
        return own | secrets_in(tuple(self.asked.ask.headers.items()))

    def _usage(self) -> Usage:
        """The converter's, with the cost from a header of a whole answer where the body tells none (LiteLLM)."""
        usage, name = self.converter.usage, self.target.provider.kind.cost_header
        if not name or self.reply is None or self.asked.call.stream or usage.cost_usd is not None:
            return usage
        cost_usd = read_cost(self.reply.header(name))
        return usage if cost_usd is None else msgspec.structs.replace(usage, cost_usd=cost_usd)

    def native_headers(self) -> dict[str, str]:
        """The upstream's headers on its rate limits, where the client speaks its dialect and knows them."""
        if self.reply is None or self.asked.call.dialect.family is not self.dialect.family:
            return {}
        return limits_in(self.reply.headers)

    def _new_entry(self, number: int, after: GatewayError | None) -> Entry:
        ask, call, key, target = self.asked.ask, self.asked.call, self.asked.key, self.target
        origin = self.asked.origin
        return Entry(
            id=record_id(ask, number),
            request_id=ask.id,
            attempt=number,
            started_at=datetime.now(UTC),
            team=key.team,
            project=origin.project,
            member=key.member,
            end_user=origin.end_user,
            tags=origin.tags,
            key_id=key.pk,
            key_name=key.name,
            alias=call.alias,
            provider=target.provider.slug,
            upstream_model=target.upstream_model,
            client_dialect=WORDS[ask.dialect],
            upstream_dialect=WORDS[self.dialect],
            streamed=call.stream,
            request_bytes=len(self.converter.request),
            agent=origin.agent,
            session=origin.session,
            prompt_images=count_images(call.body),
            provider_kind=target.provider.kind.name,
            after_error=type(after).__name__ if after else "",
        )


def note_failure(target: Target, error: GatewayError, live: Live) -> None:
    """Remember that a deployment failed; not where it only told a client to slow down who came with a credential of its own."""
    if target.provider.is_pass_through and isinstance(error, UpstreamRateLimited):
        return
    live.cooldowns.failed(target.pk, error, target.provider.cooldown, time.monotonic())


def record_id(ask: ClientRequest, number: int) -> str:
    """The id of an attempt's usage record: the request's, and the attempt's number."""
    return f"{ask.id.removeprefix('req_')}-{number}"


def refuse_losses(report: Report, target: Target) -> None:
    """Refuse what would be sent without a part of it.

    Raises:
        RequestInexpressible: naming the parts.
    """
    lost = report.dropped_paths
    if lost:
        raise RequestInexpressible(
            f"{target.provider.slug} would not get {', '.join(lost)}, and the feature flag strict_conversion is on: "
            "leave that out, ask for a model that takes it, or have the flag switched off at Routing → Feature flags",
            path=lost[0],
        )


def read_cost(text: str) -> Decimal | None:
    """A cost in USD out of a header; None for no figure, and for 0: LiteLLM says so of models it has no price for."""
    try:
        cost_usd = Decimal(text)
    except InvalidOperation:
        return None
    return cost_usd if is_amount(cost_usd) and cost_usd else None
