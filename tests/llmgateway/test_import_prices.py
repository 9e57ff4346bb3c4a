"""Prices come in from LiteLLM's cost map, OpenRouter's list and CSV; what is in the book is never changed."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounting.models import Price
from accounting.price_changes import Book
from routing import snapshot
from tests.factories.accounting import make_price
from tests.factories.routing import make_credential, make_deployment, make_provider
from tests.fakes.upstream import json_answer
from tests.routing.test_commands import running_upstream

pytestmark = pytest.mark.django_db

SONNET = {
    "litellm_provider": "anthropic",
    "mode": "chat",
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 1.5e-05,
    "cache_read_input_token_cost": 3e-07,
    "input_cost_per_token_above_200k_tokens": 6e-06,
    "output_cost_per_token_above_200k_tokens": 2.25e-05,
    "input_cost_per_token_batches": 1.5e-06,
}
GPT = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-06,
    "output_cost_per_token": 2e-06,
}
LARGE = {
    "id": "a/large",
    "pricing": {"prompt": "0.000003", "completion": "0.000015", "request": "0.001", "web_search": "0.01"},
}  # fmt: skip
CSV = "provider,model,valid_from_at,prompt_usd_per_mtok,completion_usd_per_mtok\n"


def run(*words: str) -> list[str]:
    out = io.StringIO()
    call_command("import_prices", *words, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def cost_map(tmp_path):
    """Writes a cost map of a few models; returns its file."""

    def write(**entries) -> str:
        path = tmp_path / "map.json"
        path.write_text(json.dumps({"claude-sonnet": SONNET, "gpt": GPT, **entries}))
        return str(path)

    return write


@pytest.fixture
def anthropic():
    row = make_provider("anthropic", kind="anthropic")
    make_deployment(row, "claude-sonnet")
    make_deployment(row, "claude-unknown")
    make_deployment(row, "{1}")
    snapshot.bump()
    return row


def test_models_that_can_be_called_get_their_prices_from_the_cost_map(anthropic, cost_map):
    lines = run("--from", "litellm", cost_map())

    assert lines == [
        "new      anthropic: claude-sonnet  prompt $3, completion $15, cache read $0.3, prompt above 200,000 tokens $6, "
        "completion above 200,000 tokens $22.5, cache read above 200,000 tokens $0.3",
        "No price is told of: anthropic: claude-unknown.",
        "Told, and not taken (models): input_cost_per_token_batches (1).",
        "1 new, 0 changed, 0 the same, 0 kept, 0 gone.",
    ]
    price = Price.objects.get()
    assert (price.source, price.tiers.get().prompt_tokens_above) == ("litellm cost map", 200_000)
    assert abs(datetime.now(UTC) - price.valid_from_at) < timedelta(minutes=1)


def test_a_second_time_only_what_differs_is_booked(anthropic, cost_map):
    run("--from", "litellm", cost_map())
    assert run("--from", "litellm", cost_map())[-1] == (
        "0 new, 0 changed, 1 the same, 0 kept, 0 gone."
    )
    dearer = cost_map(**{"claude-sonnet": {**SONNET, "output_cost_per_token": 2e-05}})

    assert run("--from", "litellm", dearer)[0] == (
        "changed  anthropic: claude-sonnet  completion $15 → $20"
    )
    prices = Price.objects.order_by("valid_from_at")
    assert [price.completion_usd_per_mtok for price in prices] == [15, 20]


def test_what_the_map_tells_no_more_stays_and_is_told(anthropic, cost_map):
    run("--from", "litellm", cost_map())
    without = cost_map(**{"claude-sonnet": None})

    assert "gone     anthropic: claude-sonnet  not told any more; its price stays" in run(
        "--from", "litellm", without
    )
    assert not any("gone  " in line for line in run("--from", "litellm", without, "--filter", "x*"))
    assert Price.objects.count() == 1


def test_a_price_by_hand_is_kept_unless_it_is_asked_to_be_replaced(anthropic, cost_map):
    make_price(provider="anthropic", upstream_model="claude-sonnet")

    assert "kept     anthropic: claude-sonnet  entered by hand, and differs" in run(
        "--from", "litellm", cost_map()
    )
    assert run("--from", "litellm", cost_map(), "--over-manual")[-1].startswith("0 new, 1 changed")


def test_a_dry_run_changes_nothing(anthropic, cost_map):
    lines = run("--from", "litellm", cost_map(), "--dry-run")

    assert lines[-1] == "1 new, 0 changed, 0 the same, 0 kept, 0 gone. Nothing was changed."
    assert not Price.objects.exists()


def test_json_holds_every_digit(anthropic, cost_map):
    told = json.loads("\n".join(run("--from", "litellm", cost_map(), "--json", "--dry-run")))

    (change,) = told["new"]
    assert change["new"]["cache_read_usd_per_mtok"] == "0.3"
    assert change["new"]["tiers"][0]["prompt_tokens_above"] == 200_000
    assert (change["old"], told["unknown"]) == (None, ["anthropic: claude-unknown"])


def test_the_shipped_map_is_read_where_no_file_is_named():
    make_deployment(make_provider("sdk", kind="litellm_sdk"), "gpt-4o-mini")
    snapshot.bump()

    assert run("--from", "litellm")[0].startswith("new      sdk: gpt-4o-mini  prompt $0.15")


def test_a_pattern_brings_in_more_models_of_a_kind_without_a_list(cost_map):
    make_provider("sdk", kind="litellm_sdk")
    snapshot.bump()

    assert run("--from", "litellm", cost_map(), "--filter", "g*") == [
        "new      sdk: gpt  prompt $1, completion $2",
        "1 new, 0 changed, 0 the same, 0 kept, 0 gone.",
    ]


def test_openrouters_prices_come_from_its_list():
    with running_upstream() as upstream:
        upstream.default = json_answer(
            {"data": [LARGE, {"id": "auto", "pricing": {"prompt": "-1"}}]}
        )
        make_credential(make_provider("router", base_url=upstream.url))
        snapshot.bump()
        lines = run("--from", "openrouter")

    assert lines == [
        "new      router: a/large  prompt $3, completion $15, per request $0.001",
        "No price is told of: router: auto.",
        "Told, and not taken (models): web_search (1).",
        "1 new, 0 changed, 0 the same, 0 kept, 0 gone.",
    ]
    assert Price.objects.get().source == "openrouter list"


def test_openrouters_list_may_come_from_a_file(tmp_path):
    make_provider("router")
    make_provider("other")
    snapshot.bump()
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"data": [LARGE]}))

    assert len(run("--from", "openrouter", str(path), "--provider", "other")) == 3
    assert Price.objects.get().provider == "other"


def test_csv_brings_history_and_future(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO((CSV + "a,m,2026-01-01,3,15\na,m,2026-06-01,3,15\n"
        "a,m,2026-07-01,4,15\nb,m,,1,2\n").encode()))
    )  # fmt: skip
    lines = run("--from", "csv", "-")

    assert lines == [
        "new      a: m  prompt $3, completion $15  from 2026-01-01 00:00 UTC",
        "new      b: m  prompt $1, completion $2",
        "changed  a: m  prompt $3 → $4  from 2026-07-01 00:00 UTC",
        "2 new, 1 changed, 1 the same, 0 kept, 0 gone.",
    ]
    june = datetime(2026, 6, 15, tzinfo=UTC)
    assert Book({"a"}).in_force(june)["a", "m"].figures.prompt_usd_per_mtok == Decimal(3)


def test_csv_replaces_any_price_but_never_one_of_the_same_moment(tmp_path):
    make_price(provider="a", upstream_model="m", valid_from_at=datetime(2026, 1, 1, tzinfo=UTC))
    path = tmp_path / "prices.csv"
    path.write_text(CSV + "a,m,2026-01-01,4,15\na,m,2026-02-01,4,15\n")

    assert run("--from", "csv", str(path)) == [
        "changed  a: m  prompt $3 → $4  from 2026-02-01 00:00 UTC",
        "taken    a: m  another price has that moment already",
        "0 new, 1 changed, 0 the same, 0 kept, 0 gone.",
    ]


def test_csv_may_be_narrowed_down(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV + "a,m,,3,15\na,n,,3,15\nb,m,,3,15\n")

    assert len(run("--from", "csv", str(path), "--provider", "a", "--filter", "m*")) == 2


@pytest.mark.parametrize(
    ("words", "content", "sentence"),
    [
        (["csv"], None, "Name the CSV file"),
        (["csv", "FILE"], b"\xff\xfe", "not in UTF-8"),
        (["csv", "FILE"], b"provider,model\n", "line 1: the column prompt_usd_per_mtok is missing"),
        (["csv", "/nowhere/prices.csv"], None, "cannot be read: No such file"),
        (["litellm", "FILE"], b"[]", "no cost map of LiteLLM's"),
        (["litellm", "FILE"], b"{", "no cost map of LiteLLM's"),
        (["openrouter", "FILE"], b"{", "no list of OpenRouter's models"),
        (["openrouter", "FILE"], b"{}", "no list of OpenRouter's models, or an empty one"),
        (["litellm", "--provider", "router"], None, "has no names for the models"),
        (["openrouter", "--provider", "anthropic"], None, "of the kind OpenRouter"),
        (["litellm", "--provider", "nobody"], None, "No provider nobody is switched on"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_read_is_said_and_changes_nothing(
    anthropic, tmp_path, words, content, sentence
):
    make_provider("router")
    snapshot.bump()
    path = tmp_path / "file"
    path.write_bytes(content or b"")

    with pytest.raises(CommandError, match=sentence):
        run("--from", *(str(path) if word == "FILE" else word for word in words))
    assert not Price.objects.exists()


def test_without_the_package_a_file_must_be_named(anthropic, monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    with pytest.raises(CommandError, match="litellm is not installed"):
        run("--from", "litellm")


def test_the_book_is_exported_to_a_file_or_to_standard_output(tmp_path, capsys):
    make_price()
    out = io.StringIO()
    call_command("export_prices", stdout=out)
    path = tmp_path / "prices.csv"
    call_command("export_prices", str(path))

    assert path.read_bytes().decode() == out.getvalue()
    assert (
        out.getvalue().splitlines()[1] == "openrouter,model,2026-01-01T00:00:00Z,manual,,3,15,,,,,,"
    )
    assert run("--from", "csv", str(path))[-1].startswith("0 new, 0 changed, 1 the same")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("export_prices", str(tmp_path / "no" / "prices.csv"))
