"""What a request is held for is never less than what it can cost."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from accounting import snapshot as keys_snapshot
from accounting.admission.values import BudgetPicture, Rules
from accounting.models.money import to_pico
from accounting.pricing import PriceTag
from accounting.snapshot import KeyRing
from conversion.call import read_call
from conversion.dialects import Dialect
from llmgateway.admitting import ANSWER_TOKENS_WORST, answer_tokens, need_of
from llmgateway.exchange import ClientRequest
from routing.planning import Plan
from tests.factories.pictures import picture_provider, picture_target

CHAT, COMPLETIONS = Dialect.OPENAI_CHAT, Dialect.OPENAI_COMPLETIONS
TARGET = picture_target(picture_provider())
BUDGET = BudgetPicture(1, "alder", "the monthly budget of team alder", 100, "month", "UTC")
A_CENT_PER_IMAGE = PriceTag(
    pk=1,
    valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
    prompt_usd_per_mtok=Decimal(0),
    completion_usd_per_mtok=Decimal(0),
    cache_read_usd_per_mtok=Decimal(0),
    cache_write_5m_usd_per_mtok=Decimal(0),
    cache_write_1h_usd_per_mtok=Decimal(0),
    reasoning_usd_per_mtok=Decimal(0),
    request_usd=Decimal(0),
    image_usd=Decimal("0.01"),
)


def call_of(body, dialect=CHAT):
    prompt = {"prompt": "Hi"} if dialect is COMPLETIONS else {"messages": []}
    return read_call(dialect, orjson.dumps({"model": "alias", **prompt, **body}))


@pytest.fixture
def images_are_dear():
    before = keys_snapshot.current()
    tags = {(TARGET.provider.slug, TARGET.upstream_model): (A_CENT_PER_IMAGE,)}
    keys_snapshot.put_in_force(KeyRing(number=1, by_digest={}, prices=tags))
    yield
    keys_snapshot.put_in_force(before)


@pytest.mark.parametrize(
    ("dialect", "body", "tokens"),
    [
        (CHAT, {}, ANSWER_TOKENS_WORST),
        (CHAT, {"max_tokens": 20}, 20),
        (CHAT, {"max_tokens": 20, "n": 3}, 60),  # 3 choices
        (CHAT, {"max_completion_tokens": 1, "max_tokens": 20}, 20),
        (CHAT, {"max_completion_tokens": 20, "max_tokens": "many"}, 20),
        (COMPLETIONS, {"max_tokens": 20, "best_of": 5, "n": 2}, 100),  # 5, of which 2 are told
        (COMPLETIONS, {"max_tokens": 20, "n": 2, "prompt": ["a", "b", "c"]}, 120),  # 2 x 3
        (COMPLETIONS, {"max_tokens": 20, "prompt": [[5, 6], [7]]}, 40),
        (COMPLETIONS, {"max_tokens": 20, "prompt": [5, 6, 7]}, 20),  # one, as tokens
        (COMPLETIONS, {"max_tokens": 20, "prompt": []}, 20),
        (Dialect.OPENAI_EMBEDDINGS, {"input": "Hi"}, 0),
    ],
)
def test_an_answer_is_as_long_as_all_that_is_asked_for(dialect, body, tokens):
    assert answer_tokens(call_of(body, dialect), TARGET) == tokens


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        ({"max_tokens": 500}, 500),  # in the place of the client's
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 500}, 500),  # beside it
        ({"n": 4}, 80),
        ({"temperature": 1}, 20),
    ],
)
def test_what_the_deployment_sets_counts_as_asked_for(parameters, tokens):
    target = replace(TARGET, traits=replace(TARGET.traits, parameters=parameters))
    assert answer_tokens(call_of({"max_tokens": 20}), target) == tokens


@pytest.mark.parametrize(
    ("parameters", "body", "tokens"),
    [
        ({}, {"max_tokens": 20}, 20),
        ({}, {"max_tokens": 5000}, 4000),  # cut down
        ({}, {}, 4000),
        ({"max_tokens": 5000}, {"max_tokens": 20}, 5000),  # nobody cuts that down
    ],
)
def test_an_answer_is_no_longer_than_the_deployment_allows(parameters, body, tokens):
    traits = replace(TARGET.traits, max_output_tokens=4000, parameters=parameters)
    assert answer_tokens(call_of(body), replace(TARGET, traits=traits)) == tokens


@pytest.mark.parametrize(
    "part", [b'{"type":"input_image","file_id":"f"}', rb'{"type":"\u0069mage","x":1}']
)
def test_every_image_that_is_charged_for_is_held_for(images_are_dear, part):
    body = b'{"model":"alias","messages":[{"role":"user","content":[%b,%b]}]}' % (part, part)
    ask = ClientRequest(id="req_1", dialect=CHAT, body=body, headers={}, secrets=())
    rules = (Rules("alder", "team alder", budgets=(BUDGET,)),)
    plan = Plan(alias="alias", snapshot_number=1, targets=(TARGET,))
    need = need_of(rules, ask, read_call(CHAT, body), plan)
    assert need.worst_pico == to_pico(Decimal("0.02"))  # 2 images
    assert need.narrow is not None
    assert need.narrow() == need.worst_pico
