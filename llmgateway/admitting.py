"""Lets a request in under its key's, project's and team's limits and budgets; gives back what was held when it is over."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from accounting import pricing
from accounting import snapshot as keys_snapshot
from accounting.admission.values import Admitted, Gate, Need, Rules, Standing, Used, What
from accounting.entries import Entry
from accounting.models.money import to_pico
from accounting.pricing import PriceTag
from conversion.call import LIMITS, Call
from conversion.dialects import Dialect
from conversion.needs import CHARS_PER_TOKEN, count_images
from llmgateway.estimates import ANSWER_TOKENS, prompt_tokens_of
from llmgateway.exchange import ClientRequest
from routing.pictures import Target
from routing.planning import Plan

ANSWER_TOKENS_WORST = 8192
"""How long an answer can get where neither the client nor what is known of the model says so."""
IMAGE_TOKENS_WORST = 3000
"""What an image costs at most that is named by its address: more than any vendor's page reckons with (read 2026-11)."""
MARGIN = Decimal("1.1")
"""How far the local tokenizer may be below the model's own: it was within 6 % for all recorded requests."""


class Admission:
    """One request that was let in. ``finish`` must be called once it is over; more calls have no effect."""

    __slots__ = ("_admitted", "_used")

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted
        self._used = Used()

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the limits by the minute stand, with this request."""
        return self._admitted.standings

    def note(self, entry: Entry) -> None:
        """Count what an attempt has used; it is booked."""
        self._used.tokens += (entry.prompt_tokens or 0) + (entry.completion_tokens or 0)
        if entry.cost_usd is not None:
            self._used.costs.append((entry.started_at, to_pico(entry.cost_usd)))

    def finish(self) -> None:
        """Give back what was held, and count what was used instead."""
        self._admitted.settle(self._used)


async def admit(
    rules: tuple[Rules, ...], ask: ClientRequest, call: Call, plan: Plan, gate: Gate
) -> Admission:
    """Let the request in.

    Raises:
        RateLimited: a limit by the minute, or of requests under way, is reached.
        BudgetExceeded: a hard budget has no room for it.
        LimitsUnreadable: it is not known how the limits stand.
    """
    need = need_of(rules, ask, call, plan)
    admitted = await gate.admit(rules, need)
    need.narrow = None
    return Admission(admitted)


def need_of(rules: tuple[Rules, ...], ask: ClientRequest, call: Call, plan: Plan) -> Need:
    """What the request asks for, as far as its rules are about it."""
    tokens, has_budget = 0, False
    for rule in rules:
        if rule.tokens_per_minute and not tokens:
            tokens = expected_tokens(call)
        has_budget = has_budget or bool(rule.budgets)
    if not has_budget:
        return Need(ask.id, tokens)
    targets, now = plan.targets, ask.accepted_at

    def narrow() -> int:
        counted = {
            name: int(prompt_tokens_of(call, name) * MARGIN) + 1
            for name in {target.upstream_model for target in targets}
        }
        prompts = [(target, counted[target.upstream_model]) for target in targets]
        return worst_pico(call, prompts, images, now)

    # Once: a long prompt is searched for 70 us. The word finds images where none is charged for by number; and it is not
    # in all that are (input_image, escapes).
    images = max(call.raw.count(b'"image'), count_images(call.body))
    # No token is shorter than a byte, and most are four times as long.
    most = len(call.raw) + IMAGE_TOKENS_WORST * images
    return Need(ask.id, tokens, worst_pico(call, [(t, most) for t in targets], images, now), narrow)


def expected_tokens(call: Call) -> int:
    """Tokens that the request is thought to use, prompt and answer."""
    answer = call.max_output_tokens
    if call.dialect is Dialect.OPENAI_EMBEDDINGS:
        answer = 0
    expected = ANSWER_TOKENS if answer is None else min(answer, ANSWER_TOKENS)
    return max(1, len(call.raw) // CHARS_PER_TOKEN) + expected


def worst_pico(
    call: Call, targets: Iterable[tuple[Target, int]], images: int, now: datetime
) -> int:
    """The most that the dearest of the targets can cost, in picodollars, each with a prompt of so many tokens and images.

    A model without a price counts as nothing: nobody knows what it costs.
    """
    ring = keys_snapshot.current()
    worst = 0
    for target, prompt_tokens in targets:
        tag: PriceTag | None = ring.price_at(target.provider.slug, target.upstream_model, now)
        cost = pricing.worst_pico(prompt_tokens, answer_tokens(call, target), images, tag)
        if cost is not None and cost > worst:
            worst = cost
    return worst


def answer_tokens(call: Call, target: Target) -> int:
    """The longest answer, all of those together that are asked for, by the client or by what the deployment sets.

    Where the limit is there under both its names the larger counts, as nobody knows which of them an upstream heeds.
    The client's is cut down to what the deployment allows; one that the deployment itself sets is not.
    """
    if call.dialect is Dialect.OPENAI_EMBEDDINGS:
        return 0
    given = target.traits.parameters
    body = {**call.body, **given} if given else call.body
    longest = target.traits.max_output_tokens
    limits = [body[name] for name in LIMITS if isinstance(body.get(name), int)]
    if not limits:
        each = ANSWER_TOKENS_WORST if longest is None else longest
    elif longest is None or not given.keys().isdisjoint(LIMITS):
        each = max(limits)
    else:
        each = min(max(limits), longest)
    return answers_in(body) * each


def answers_in(body: Mapping[str, Any]) -> int:
    """How many answers a body asks for: choices, those of which the best are chosen, each for each prompt of several."""
    count = 1
    for name in ("n", "best_of"):
        asked = body.get(name)
        if isinstance(asked, int) and asked > count:
            count = asked
    prompts = body.get("prompt")
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        count *= len(prompts)
    return count


def limit_headers(standings: tuple[Standing, ...], dialect: Dialect) -> dict[str, str]:
    """The headers in which the dialect's vendor tells how limits stand, which its SDK reads."""
    headers: dict[str, str] = {}
    if dialect.family is Dialect.ANTHROPIC_MESSAGES:
        now_s = time.time()
        for what, limit, remaining, reset_s in standings:
            of_limit, of_remaining, of_reset = ANTHROPIC_HEADERS[what]
            headers[of_limit] = str(limit)
            headers[of_remaining] = str(remaining)
            headers[of_reset] = _moment(int(now_s + reset_s))
    else:
        for what, limit, remaining, reset_s in standings:
            of_limit, of_remaining, of_reset = OPENAI_HEADERS[what]
            headers[of_limit] = str(limit)
            headers[of_remaining] = str(remaining)
            headers[of_reset] = f"{reset_s:.0f}s"
    return headers


@lru_cache(maxsize=256)
def _moment(second: int) -> str:
    """A second of Unix time as Anthropic writes it: all answers of a second tell one of very few."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


_PARTS = ("limit", "remaining", "reset")
_WHATS: tuple[What, ...] = ("requests", "tokens")
ANTHROPIC_HEADERS = {
    what: tuple(f"anthropic-ratelimit-{what}-{part}" for part in _PARTS) for what in _WHATS
}
OPENAI_HEADERS = {what: tuple(f"x-ratelimit-{part}-{what}" for part in _PARTS) for what in _WHATS}
