"""What a request would take and cost, before it is sent."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from accounting import snapshot as keys_snapshot
from accounting.models import Price, PriceTier
from conversion.dialects import Dialect
from conversion.needs import Needs
from llmgateway.pipeline import price_of
from tests.factories.accounting import make_price
from tests.factories.pictures import picture_provider, picture_target
from tests.llmgateway.conftest import two_targets

CHAT = Dialect.OPENAI_CHAT


def test_an_estimate_has_tokens_and_a_price_or_says_that_there_is_none(told):
    two_targets()
    Price.objects.create(
        provider="direct",
        upstream_model="anthropic/claude-sonnet-4.5",
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        prompt_usd_per_mtok=3,
        completion_usd_per_mtok=15,
    )
    keys_snapshot.bump()
    priced, unpriced = (target.estimate for target in told().targets)

    assert priced.prompt_tokens == 8  # 3 for the prompt, 4 for the message, 1 for the word
    assert priced.cost_usd == Decimal("0.007524")  # 8 x 3 + 500 x 15, of a million
    assert priced.most_usd == Decimal("0.015384")  # 8 x 3 + 1024 x 15, of a million
    assert priced.source == "price_book"
    assert (unpriced.cost_usd, unpriced.source) == (None, "unpriced")


@pytest.mark.parametrize(
    ("dialect", "body", "tokens"),
    [
        (Dialect.OPENAI_COMPLETIONS, {"prompt": "one two"}, 2),
        (Dialect.OPENAI_COMPLETIONS, {"prompt": [5, 6, 7]}, 3),
        (Dialect.OPENAI_EMBEDDINGS, {"input": ["one", "two", None]}, 2),
        (CHAT, {"messages": [{"role": "user", "content": "one"}]}, 8),
    ],
)
def test_tokens_are_estimated_in_every_dialect(told, dialect, body, tokens):
    two_targets()
    explained = told(orjson.dumps({"model": "sonnet", **body}).decode(), dialect=dialect)

    assert explained.targets[0].estimate.prompt_tokens == tokens


def test_tools_and_calls_of_a_chat_cost_tokens(told):
    two_targets()
    function = {"name": "f", "description": "does it", "parameters": {"type": "object"}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = {"model": "sonnet", "messages": [{"role": "user", "content": "one"}]}
    with_tools = {**plain, "tools": [{"type": "function", "function": function}, {"type": "x"}]}
    messages = [*plain["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    counts = [
        told(orjson.dumps(body).decode(), dialect=CHAT).targets[0].estimate.prompt_tokens
        for body in (plain, with_tools, {**plain, "messages": messages})
    ]

    assert counts[0] < counts[2] < counts[1]


@pytest.mark.django_db
def test_targets_are_compared_by_what_a_prompt_of_that_length_costs_there():
    price = make_price(provider="direct", upstream_model="sonnet", image_usd=Decimal("0.002"))
    PriceTier.objects.create(
        price=price,
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(6),
        completion_usd_per_mtok=Decimal("22.5"),
    )
    target = picture_target(picture_provider(slug="direct"), upstream_model="sonnet")
    held = keys_snapshot.current()
    keys_snapshot.put_in_force(keys_snapshot.build())
    try:
        # 200 000 * 3 + 500 * 15, 200 001 * 6 + 500 * 22.5, and an image
        assert price_of(target, Needs(prompt_tokens=200_000)) == Decimal("0.6075")
        assert price_of(target, Needs(prompt_tokens=200_001, images=1)) == Decimal("1.213256")
    finally:
        keys_snapshot.put_in_force(held)
