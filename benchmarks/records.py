"""Usage records as a company's gateway writes them in some weeks: the same for the same seed, by the million.

Eight teams, forty people with a key each and ten keys of machines; sessions of Claude Code with a main agent and
helpers, caches that fill up, weekdays busier than weekends, some failures with a fallback, some without a price.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounting.entries import Entry

PICO = Decimal(1).scaleb(-12)
TEAMS = ("alder", "birch", "cedar", "elm", "hazel", "larch", "oak", "willow")
PROJECTS = ("", "web", "api", "mobile", "search", "billing")
AGENTS = ("main", "main", "main", "explore", "plan", "review")
TAGS = ("", "", "", ",ci,", ",migration,", ",incident,night,", ",docs,")
WEEKDAYS = (1.0, 1.1, 1.15, 1.1, 0.9, 0.15, 0.12)
HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 20, 30, 34, 30, 22, 28, 34, 34, 30, 22, 12, 8, 6, 4, 3, 2)


@dataclass(frozen=True)
class Model:
    """What is asked for and who answers; amounts in USD per million tokens, None where the price is not known."""

    alias: str
    provider: str
    kind: str
    upstream: str
    prompt: str | None
    completion: str
    weight: int
    ttft_ms: int


MODELS = (
    Model("claude-sonnet-4-5", "openrouter", "openrouter", "anthropic/claude-sonnet-4.5", "3", "15", 45, 900),
    Model("claude-haiku-4-5", "openrouter", "openrouter", "anthropic/claude-haiku-4.5", "1", "5", 22, 450),
    Model("claude-opus-4-1", "anthropic", "anthropic", "claude-opus-4-1", "15", "75", 8, 1500),
    Model("gpt-5", "litellm", "litellm_proxy", "openai/gpt-5", "1.25", "10", 14, 1100),
    Model("gemini-2.5-pro", "litellm", "litellm_proxy", "gemini/gemini-2.5-pro", "1.25", "10", 7, 1000),
    Model("qwen3-coder", "local", "ollama", "qwen3-coder:30b", None, "0", 4, 600),
)  # fmt: skip
FALLBACK = Model("", "litellm", "litellm_proxy", "anthropic/claude-sonnet-4-5", "3", "15", 0, 1000)


@dataclass(frozen=True)
class Holder:
    """Whose key it is: a person's, or a machine's where ``member`` is empty."""

    team: str
    key_id: int
    key_name: str
    member: str


def holders() -> list[Holder]:
    """All keys, their numbers from 1."""
    people = [
        Holder(TEAMS[n % len(TEAMS)], n + 1, f"laptop-{n + 1}", f"person{n + 1}") for n in range(40)
    ]
    machines = [Holder(TEAMS[n % len(TEAMS)], n + 41, f"ci-{n + 1}", "") for n in range(10)]
    return people + machines


def days_until(last: date, days: int) -> list[date]:
    """The days in order, the last one at the end."""
    return [last - timedelta(days=days - 1 - n) for n in range(days)]


def records(count: int, days: Sequence[date], *, seed: int = 1) -> Iterator[Entry]:
    """``count`` entries over the days, in the order in which they began."""
    chance = random.Random(seed)
    weights = [WEEKDAYS[day.weekday()] for day in days]
    made = 0
    for number, day in enumerate(days):
        share = round(count * sum(weights[: number + 1]) / sum(weights))
        entries: list[Entry] = []
        while made + len(entries) < share:
            entries.extend(_session(chance, day, at_most=share - made - len(entries)))
        made += len(entries)
        yield from sorted(entries, key=lambda entry: entry.started_at)


_HOLDERS = holders()
_HOLDER_WEIGHTS = [1 + (n * 7) % 5 for n in range(len(_HOLDERS))]
_MODEL_WEIGHTS = [model.weight for model in MODELS]


def _session(chance: random.Random, day: date, *, at_most: int) -> list[Entry]:
    (holder,) = chance.choices(_HOLDERS, _HOLDER_WEIGHTS)
    (model,) = chance.choices(MODELS, _MODEL_WEIGHTS)
    (hour,) = chance.choices(range(24), HOURS)
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(
        seconds=chance.uniform(0, 3599)
    )
    shared = {
        "team": holder.team,
        "project": PROJECTS[(holder.key_id + (chance.random() < 0.2)) % len(PROJECTS)],
        "key_id": holder.key_id,
        "key_name": holder.key_name,
        "member": holder.member,
        "end_user": holder.member and f"user_{holder.key_id:04x}",
        "session": f"{chance.getrandbits(128):032x}",
        "tags": chance.choice(TAGS),
    }
    entries: list[Entry] = []
    context = chance.randrange(2_000, 25_000)
    for _number in range(min(at_most, 1 + int(chance.expovariate(1 / 24)))):
        if at.date() != day:
            break
        entries.extend(_request(chance, model, context, at, shared))
        context += chance.randrange(200, 4_000)
        at += timedelta(seconds=chance.expovariate(1 / 25) + 1)
    return entries[:at_most]


def _request(
    chance: random.Random, model: Model, context: int, at: datetime, shared: dict[str, Any]
) -> Iterator[Entry]:
    number = f"{int(at.timestamp() * 1e6):014x}{chance.getrandbits(40):010x}"
    fields = {
        **shared,
        "request_id": f"req_{number}",
        "agent": chance.choice(AGENTS),
        "alias": model.alias,
        "client_dialect": "anthropic_messages",
        "streamed": chance.random() < 0.93,
        "request_bytes": context * 4,
    }
    luck = chance.random()
    if luck < 0.015:
        yield _failed(chance, model, at, number, fields)
        yield _answered(chance, FALLBACK, context, at, f"{number}-2", fields, after="RateLimited")
    elif luck < 0.025:
        yield _failed(chance, model, at, number, fields)
    else:
        status = "client_closed" if luck < 0.045 else "succeeded"
        if luck < 0.027:
            status = "interrupted"
        yield _answered(chance, model, context, at, f"{number}-1", fields, status=status)


def _failed(
    chance: random.Random, model: Model, at: datetime, number: str, fields: dict[str, Any]
) -> Entry:
    return Entry(
        **fields,
        id=f"{number}-1",
        attempt=1,
        started_at=at,
        provider=model.provider,
        provider_kind=model.kind,
        upstream_model=model.upstream,
        upstream_dialect="openai_chat",
        status="failed",
        upstream_status=429,
        error="UpstreamRateLimited",
        duration_ms=int(chance.lognormvariate(5.5, 0.7)),
    )


def _answered(
    chance: random.Random,
    model: Model,
    context: int,
    at: datetime,
    name: str,
    fields: dict[str, Any],
    *,
    status: str = "succeeded",
    after: str = "",
) -> Entry:
    ttft_ms = int(chance.lognormvariate(0, 0.45) * model.ttft_ms)
    entry = Entry(
        **fields,
        id=name,
        attempt=int(name[-1]),
        started_at=at,
        provider=model.provider,
        provider_kind=model.kind,
        upstream_model=model.upstream,
        answered_model=model.upstream,
        upstream_dialect="openai_chat",
        upstream_id=f"gen-{name}",
        upstream_status=200,
        status=status,
        after_error=after,
        finish_reason="tool_use" if status == "succeeded" else "",
        ttft_ms=ttft_ms,
        duration_ms=ttft_ms + int(chance.expovariate(1 / 6000)),
    )
    if status != "interrupted":
        _count(chance, entry, model, context)
    return entry


def _count(chance: random.Random, entry: Entry, model: Model, context: int) -> None:
    completion = 1 + int(chance.lognormvariate(5.3, 0.9))
    read = int(context * chance.uniform(0.6, 0.97)) if chance.random() < 0.9 else 0
    written = min(context - read, chance.randrange(0, 4000))
    entry.prompt_tokens, entry.completion_tokens = context, completion
    entry.cache_read_tokens, entry.cache_write_tokens = read, written
    entry.reasoning_tokens = completion // 3 if chance.random() < 0.3 else None
    entry.answer_bytes = completion * 5
    if model.prompt is None:
        return
    prompt = Decimal(model.prompt)
    usd_mtok = (
        (context - read - written) * prompt
        + read * prompt / 10
        + written * prompt * 5 / 4
        + completion * Decimal(model.completion)
    )
    entry.cost_usd = (usd_mtok / 1_000_000).quantize(PICO)
    entry.cache_saved_usd = ((read * prompt * 9 / 10 - written * prompt / 4) / 1_000_000).quantize(
        PICO
    )
    entry.cost_source = "provider" if model.kind == "openrouter" else "price_book"
