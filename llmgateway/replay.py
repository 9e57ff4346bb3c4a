"""Sends a request that was served once to other routes, and sets what comes back beside what came then.

A replay goes through the same story as any request: it is booked under the key that pays for it, with the tag
"replay", and counts against that key's limits and budgets.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import orjson
from asgiref.sync import async_to_sync

from accounting.models import RequestLog, UsageRecord
from accounting.models.request_log import BODIES
from accounting.request_query import Place
from accounting.request_search import FoundRequest, fold
from accounting.secret_shapes import is_credential_header
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from llmgateway import trial
from llmgateway.answer_reading import ReadAnswer, read_answer
from llmgateway.attribution import TAGS_HEADER, TAGS_MAX
from llmgateway.exchange import ClientRequest
from llmgateway.explained import Estimate
from llmgateway.explanation import explain
from llmgateway.explanation_asks import HeaderUnreadable, headers_of, read_headers, request_of
from llmgateway.runtime import Runtime
from routing import snapshot
from routing.lone_targets import plan_to, target_of
from routing.models import Deployment
from routing.planning import Plan

TAG = "replay"
TARGETS_MAX = 4
REPLAY_S = 300.0
"""How long a page waits for an answer; what was used until then is booked."""
BOOKED_S = 5.0
CLIENT_ANSWER = list(BODIES)[-1]


@dataclass(frozen=True, slots=True)
class Material:
    """What is sent again: a body as the client would send it, and the headers that went with it."""

    body: str
    dialect: Dialect
    headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """One way to send it. ``plan`` is None where a client's own way is taken, by the name it asks for."""

    label: str
    ask: ClientRequest
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a replay would do: who is asked first and what that would cost, or why nothing would be sent."""

    replay: Replay
    first: str
    estimate: Estimate | None
    refusal: str


@dataclass(frozen=True, slots=True)
class Side:
    """One column of the comparison. ``found`` is what was booked: None where no provider was reached."""

    label: str
    found: FoundRequest | None
    answer: ReadAnswer | None
    sent: trial.SentAnswer | None = None
    problem: str = ""
    changes: dict[str, str] | None = None

    @property
    def notes(self) -> list[list[str]]:
        """What conversion mapped or left out for the attempt that answered."""
        return list(self.found.last.notes) if self.found else []


class TargetGone(ValueError):
    """A deployment is not in force; the message says which."""


def material_of(record: UsageRecord, log: RequestLog | None, body: str) -> Material:
    """The request behind a record with a body: its kept headers, those of credentials left out."""
    lines = tuple(line for line in headers_of(record, log) if _may_go_along(line))
    return Material(body, Dialect(record.client_dialect), lines)


def _may_go_along(line: str) -> bool:
    try:
        names = read_headers([line])
    except HeaderUnreadable:
        return False
    return not any(is_credential_header(name) for name in names)


def to_alias(material: Material, name: str) -> Replay:
    """The request as if its client had asked for that model."""
    body = orjson.loads(material.body)
    named = orjson.dumps({**body, "model": name}).decode()
    return Replay(name, _ask(replace(material, body=named)))


def to_deployment(material: Material, deployment: Deployment) -> Replay:
    """The request at one deployment, with no other to fall back to.

    Raises:
        TargetGone: its provider is switched off.
    """
    held = snapshot.in_force()
    target = target_of(held, deployment) if held else None
    if held is None or target is None:
        raise TargetGone(f"{deployment}: its provider is not in force.")
    alias = str(orjson.loads(material.body).get("model", ""))
    return Replay(str(deployment), _ask(material), plan_to(held, target, alias=alias))


def _ask(material: Material) -> ClientRequest:
    return request_of(material.body, material.dialect, _tagged(material.headers))


def _tagged(lines: Sequence[str]) -> tuple[str, ...]:
    """The headers with the tag of replays beside those that the request had."""
    headers = read_headers(lines)
    tags = [tag.strip() for tag in headers.pop(TAGS_HEADER, "").split(",") if tag.strip() != TAG]
    headers[TAGS_HEADER] = ",".join([*filter(None, tags[: TAGS_MAX - 1]), TAG])
    return tuple(f"{name}: {value}" for name, value in headers.items())


def preview(replay: Replay, key: KeyPicture, runtime: Runtime) -> Preview:
    """What sending it would do and cost; nothing is sent."""
    told = explain(replay.ask, key, runtime, follow=replay.plan)
    if told.refusal:
        return Preview(replay, "", None, told.refusal.message)
    taking = next((target for target in told.targets if target.refusal is None), None)
    if taking is None:
        refusal = told.targets[0].refusal if told.targets else None
        return Preview(replay, "", None, refusal.message if refusal else "There is no target.")
    return Preview(replay, f"{taking.provider}: {taking.upstream_model}", taking.estimate, "")


def send_all(replays: Sequence[Replay], key: KeyPicture, runtime: Runtime) -> list[Side]:
    """All of them at once, in the serving event loop, and what was booked of each. Costs money."""
    answers = async_to_sync(_gather)(replays, key)
    # Records are written in batches, a moment later.
    runtime.ledger.after_booked(lambda: None).result(BOOKED_S)
    return [_side(replay, sent) for replay, sent in zip(replays, answers, strict=True)]


async def _gather(replays: Sequence[Replay], key: KeyPicture) -> list[trial.SentAnswer | None]:
    return await asyncio.gather(*(_send(replay, key) for replay in replays))


async def _send(replay: Replay, key: KeyPicture) -> trial.SentAnswer | None:
    try:
        async with asyncio.timeout(REPLAY_S):
            return await trial.send(replay.ask, key, replay.plan)
    except TimeoutError:
        return None


def _side(replay: Replay, sent: trial.SentAnswer | None) -> Side:
    found = booked(replay.ask.id)
    if sent is None:
        problem = f"No whole answer came within {REPLAY_S:.0f} s; what was used is booked."
        return Side(replay.label, found, None, problem=problem)
    answer = read_answer(sent.body)
    problem = "" if sent.succeeded else f"Status {sent.status}: {answer.error or 'no answer'}"
    if sent.succeeded and answer.error:
        problem = answer.error
    return Side(replay.label, found, answer, sent, problem)


def booked(request_id: str) -> FoundRequest | None:
    """What the ledger has of a request."""
    last = UsageRecord.objects.filter(request_id=request_id).order_by("-attempt").first()
    if last is None:
        return None
    (found,) = fold({request_id: Place(last.started_at, last.pk)})
    return found


def original_side(found: FoundRequest, log: RequestLog | None) -> Side:
    """The request as it was served, with its answer where that was kept."""
    body = next((body for body in log.bodies if body.name == CLIENT_ANSWER), None) if log else None
    answer = read_answer(body.text.decode("utf-8", "replace")) if body else None
    return Side("As it was served", found, answer)


def compared(side: Side, original: Side) -> Side:
    """The side with how its figures differ from the original's."""
    ours, theirs = side.found, original.found
    if ours is None or theirs is None:
        return side
    changes = {
        "cost": change(ours.cost_usd, theirs.cost_usd),
        "duration": change(ours.duration_ms, theirs.duration_ms),
        "ttft": change(ours.last.ttft_ms, theirs.last.ttft_ms),
        "prompt": change(ours.prompt_tokens, theirs.prompt_tokens),
        "completion": change(ours.completion_tokens, theirs.completion_tokens),
    }
    return replace(side, changes=changes)


def change(now: Decimal | int | None, then: Decimal | int | None) -> str:
    """How a figure differs from what it was, in words; empty where that cannot be said."""
    if now is None or not then:
        return ""
    percent = round((Decimal(now) / Decimal(then) - 1) * 100)
    if percent == 0:
        return "the same"
    return f"{abs(percent)} % {'more' if percent > 0 else 'less'}"
