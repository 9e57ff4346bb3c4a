"""Bringing deployments and prices up to what a provider tells, by the command."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounting import snapshot as keys_snapshot
from accounting.models import Price
from accounting.price_changes import Book
from llmgateway import model_sync
from llmgateway.progress import ProgressBar
from routing import snapshot
from routing.models import Deployment
from routing.providers.facts import ModelPrices
from tests.factories.routing import make_credential, make_deployment, make_provider
from tests.fakes.upstream import json_answer
from tests.routing.test_commands import running_upstream

pytestmark = pytest.mark.django_db
LARGE = {
    "id": "a/large",
    "context_length": 200000,
    "top_provider": {"max_completion_tokens": 64000},
    "architecture": {"input_modalities": ["text", "image"]},
    "supported_parameters": ["tools", "reasoning"],
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "input_cache_write": "0.00000375",
    },
}
SMALL = {
    "id": "b/small",
    "context_length": 1000,
    "supported_parameters": ["temperature"],
    "pricing": {"prompt": "0.000000025", "completion": "0"},
}
VARIES = {"id": "auto", "pricing": {"prompt": "-1", "completion": "-1"}}


@pytest.fixture
def upstream():
    with running_upstream() as fake:
        fake.default = json_answer({"data": [LARGE, SMALL, VARIES]})
        yield fake


@pytest.fixture
def router(upstream):
    row = make_provider("router", base_url=upstream.url)
    make_credential(row)
    return row


def run(*words: str) -> list[str]:
    out = StringIO()
    call_command("sync_models", *words, stdout=out)
    return out.getvalue().splitlines()


def test_new_models_become_deployments_with_their_facts_and_prices(router):
    routing_before, keys_before = snapshot.version(), keys_snapshot.version()
    lines = run("router")

    assert lines == [
        "new      a/large  context window 200,000, most output 64,000, tools yes, images yes, thinking yes, "
        "caching yes, prompt price $3, completion price $15, cache read price $0.3, cache write price $3.75",
        "new      auto",
        "new      b/small  context window 1,000, tools no, thinking no, prompt price $0.025, completion price $0",
        "3 new, 0 changed, 2 prices noted, 0 gone.",
    ]
    large = Deployment.objects.get(upstream_model="a/large")
    assert (large.context_window_tokens, large.max_output_tokens) == (200000, 64000)
    assert (large.takes_tools, large.takes_images, large.can_reason) == (True, True, True)
    assert large.fact_sources["takes_tools"] == "openrouter list"
    small = Deployment.objects.get(upstream_model="b/small")
    assert (small.takes_tools, small.takes_images) == (False, None)
    price = Price.objects.get(upstream_model="a/large")
    assert (price.provider, price.source) == ("router", "openrouter list")
    assert price.prompt_usd_per_mtok == Decimal(3)
    assert price.cache_write_5m_usd_per_mtok == Decimal("3.75")
    assert price.cache_write_1h_usd_per_mtok is None
    assert abs(datetime.now(UTC) - price.valid_from_at) < timedelta(minutes=1)
    assert Price.objects.get(upstream_model="b/small").prompt_usd_per_mtok == Decimal("0.025")
    assert snapshot.version() == routing_before + 1
    assert keys_snapshot.version() == keys_before + 1


def test_a_second_time_nothing_is_done(router):
    run("router")
    routing_before, keys_before = snapshot.version(), keys_snapshot.version()

    assert run("router") == ["0 new, 0 changed, 0 prices noted, 0 gone."]
    assert (snapshot.version(), keys_snapshot.version()) == (routing_before, keys_before)
    assert Price.objects.count() == 2


def test_what_changes_there_changes_here_and_the_old_price_stays_in_the_book(router, upstream):
    run("router")
    pricing = {**LARGE["pricing"], "prompt": "0.000004"}
    changed = {**LARGE, "context_length": 1000000, "pricing": pricing}
    upstream.default = json_answer({"data": [changed, VARIES]})

    assert run("router") == [
        "changed  a/large  context window 200,000 → 1,000,000, prompt price $3 → $4",
        "gone     b/small  not in the provider's list",
        "0 new, 1 changed, 1 prices noted, 1 gone.",
    ]
    assert Deployment.objects.filter(upstream_model="b/small").exists()
    prices = Price.objects.filter(upstream_model="a/large").order_by("valid_from_at")
    assert [price.prompt_usd_per_mtok for price in prices] == [3, 4]
    now = datetime.now(UTC)
    assert Book({"router"}).in_force(now)["router", "a/large"].figures.prompt_usd_per_mtok == 4


def test_what_an_operator_entered_stays(router):
    make_deployment(router, "a/large", context_window_tokens=7, takes_tools=False)
    Price.objects.create(
        provider="router",
        upstream_model="a/large",
        prompt_usd_per_mtok=1,
        completion_usd_per_mtok=1,
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        source="manual",
    )
    lines = run("router", "--filter", "a/*")

    large = Deployment.objects.get(upstream_model="a/large")
    assert (large.context_window_tokens, large.takes_tools, large.takes_images) == (7, False, True)
    assert large.fact_sources.keys() == {
        "max_output_tokens",
        "takes_images",
        "can_reason",
        "can_cache",
    }
    assert Price.objects.count() == 1
    assert "kept     a/large  its price was entered by hand and differs" in lines


def test_a_price_that_begins_later_is_not_in_force(router):
    Price.objects.create(
        provider="router",
        upstream_model="a/large",
        prompt_usd_per_mtok=1,
        completion_usd_per_mtok=1,
        valid_from_at=datetime.now(UTC) + timedelta(days=1),
        source="manual",
    )
    run("router", "--filter", "a/*")

    assert Price.objects.filter(upstream_model="a/large").count() == 2


def test_a_filter_a_dry_run_and_no_prices(router):
    assert run("router", "--filter", "a/*", "--dry-run")[-1] == (
        "1 new, 0 changed, 1 prices to note, 0 gone. Nothing was changed."
    )
    assert not Deployment.objects.exists()
    assert run("router", "--filter", "a/*", "--filter", "auto", "--no-prices")[-1] == (
        "2 new, 0 changed, 0 prices noted, 0 gone."
    )
    assert not Price.objects.exists()


def test_a_pattern_deployment_is_neither_new_nor_gone(router):
    make_deployment(router, "{1}")

    assert "{1}" not in "".join(run("router"))


def test_what_the_list_does_not_say_comes_from_the_cost_map(upstream):
    row = make_provider("claude", kind="anthropic", base_url=upstream.url.removesuffix("/api/v1"))
    make_credential(row)
    upstream.default = json_answer({"data": [{"id": "claude-sonnet-4-5", "max_tokens": 5}]})
    run("claude")

    row = Deployment.objects.get()
    assert row.max_output_tokens == 5
    assert row.fact_sources["max_output_tokens"] == "anthropic list"
    assert (row.takes_images, row.fact_sources["takes_images"]) == (True, "litellm cost map")
    price = Price.objects.get()
    assert (price.prompt_usd_per_mtok, price.source) == (3, "litellm cost map")
    assert price.cache_write_1h_usd_per_mtok == 6


def test_the_kind_in_the_process_is_told_of_its_deployments_and_of_what_matches():
    row = make_provider("sdk", kind="litellm_sdk")
    make_deployment(row, "openai/gpt-4o")
    make_deployment(row, "no/such-model")
    make_deployment(row, "openai/{1}")

    assert run("sdk")[-1] == "0 new, 1 changed, 1 prices noted, 0 gone."
    assert Deployment.objects.get(upstream_model="openai/gpt-4o").takes_tools is True
    assert run("sdk", "--filter", "gpt-4o-mini")[-1] == "1 new, 0 changed, 1 prices noted, 0 gone."


def test_what_cannot_be_asked_is_said(router, upstream):
    make_provider("demo", kind="demo")
    with pytest.raises(CommandError, match="has no list of models"):
        run("demo")
    upstream.default = json_answer({"data": []})
    with pytest.raises(CommandError, match="lists no models"):
        run("router")
    upstream.default = json_answer({"error": {"message": "Not today."}}, status=500)
    with pytest.raises(CommandError, match="Not today"):
        run("router")
    with pytest.raises(CommandError, match="there are: demo, router"):
        run("odd")


def test_a_price_that_the_book_cannot_hold_is_none():
    assert model_sync.figures_of(ModelPrices(Decimal(1_000_000), Decimal(1))) is None
    assert model_sync.figures_of(ModelPrices(Decimal(1), None)) is None
    figures = model_sync.figures_of(ModelPrices(Decimal("0.123456789"), Decimal(1)))
    assert figures is not None
    assert figures.prompt_usd_per_mtok == Decimal("0.12345679")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_a_terminal_alone():
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        bar = ProgressBar(stream, "Writing")
        bar(0, 0)
        bar(1, 2)
        bar(2, 2)
        bar.end()
        bar.end()

    assert terminal.getvalue() == (f"\rWriting [{'#' * 15:<30}] 1/2\rWriting [{'#' * 30}] 2/2\n")
    assert file.getvalue() == ""
