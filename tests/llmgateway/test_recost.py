"""manage.py recost: looks, asks, books once."""

import io
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounting.models import Adjustment
from llmgateway.management.commands import recost as command
from tests.factories.accounting import make_price, make_usage

pytestmark = pytest.mark.django_db

DAYS = ("--from", "2026-11-01", "--to", "2026-11-30")
MODEL = "anthropic/claude-sonnet-4.5"


class Typist(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def ledger():
    """Two records of 1000 + 100 tokens, one booked at 3 and 15, one without a price; now it is 4 and 15."""
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100}
    make_usage(**tokens, cost_usd=Decimal("0.0045"), cost_source="price_book")
    make_usage(**tokens, started_at=datetime(2026, 11, 21, tzinfo=UTC))
    make_usage(upstream_model="elsewhere", **tokens)
    make_usage(status="client_closed")
    make_price(upstream_model=MODEL, prompt_usd_per_mtok=Decimal(4))


def run(*words: str) -> list[str]:
    out = io.StringIO()
    call_command("recost", *DAYS, *words, stdout=out)
    return out.getvalue().splitlines()


def test_a_dry_run_says_what_would_be_booked():
    assert run("--dry-run") == [
        f"2026-11-20  openrouter: {MODEL}  1 of 2 records, $0.0045 → $0.0055, unpriced 1 → 1",
        f"2026-11-21  openrouter: {MODEL}  1 of 1 records, $0 → $0.0055, unpriced 1 → 0",
        "Left as they are: 1 without a price in the book for their moment, 1 without a count of tokens or images.",
        "4 records compared, 2 adjusted: $0.0045 → $0.011 (+$0.0065).",
        "Nothing was booked.",
    ]
    assert not Adjustment.objects.exists()


def test_yes_books_and_names_the_run():
    lines = run("--yes", "--by", "ada", "--reason", "new contract")
    row = Adjustment.objects.first()

    assert lines[-1] == f"Booked as run {row.run}."
    assert Adjustment.objects.count() == 2
    assert (row.by, row.reason) == ("ada", "new contract")
    assert run("--yes")[-1] == "4 records compared, 0 adjusted: $0.011 → $0.011 (+$0)."


@pytest.mark.parametrize(("answer", "booked"), [("y\n", 2), ("yes\n", 2), ("\n", 0), ("n\n", 0)])
def test_at_a_terminal_it_asks_first(monkeypatch, answer, booked):
    monkeypatch.setattr(sys, "stdin", Typist(answer))
    if booked:
        assert run()[-1].startswith("Booked as run recost-")
    else:
        with pytest.raises(CommandError, match="Nothing was booked"):
            run()
    assert Adjustment.objects.count() == booked


def test_without_a_terminal_it_wants_to_be_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match="say --yes to book"):
        run()
    assert not Adjustment.objects.exists()


def test_where_nothing_differs_nobody_is_asked(monkeypatch):
    run("--yes")
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    assert run()[-1].startswith("4 records compared, 0 adjusted")


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--model", MODEL), 2),
        (("--model", "elsewhere"), 0),
        (("--provider", "openrouter"), 2),
        (("--provider", "other"), 0),
        (("--team", "alder"), 2),
        (("--team", "birch"), 0),
    ],
)
def test_it_is_narrowed_down(words, count):
    run("--yes", *words)

    assert Adjustment.objects.count() == count


def test_json_holds_every_digit():
    told = json.loads("\n".join(run("--json", "--yes")))

    assert told["run"] == Adjustment.objects.values_list("run", flat=True)[0]
    assert told["total"]["after_usd"] == "0.011000000000"
    assert [line["day"] for line in told["lines"]] == ["2026-11-20", "2026-11-21"]
    assert (told["without_price"], told["without_tokens"]) == (1, 1)
    assert json.loads("\n".join(run("--json", "--dry-run")))["run"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--from", "2026-12-01"), "--from is after --to"),
        (("--from", "yesterday"), "'yesterday' is no day such as 2026-11-30"),
        (("--json",), "--json asks nobody"),
    ],
)
def test_what_makes_no_sense_is_refused(words, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(*words)


def test_where_the_system_knows_no_user_the_command_line_did_it(monkeypatch):
    def nobody() -> str:
        raise OSError("no user")

    monkeypatch.setattr(command.getpass, "getuser", nobody)
    run("--yes")

    assert {row.by for row in Adjustment.objects.all()} == {"command line"}


def test_savings_are_told_with_their_sign():
    run("--yes")
    make_price(
        upstream_model=MODEL,
        prompt_usd_per_mtok=Decimal(1),
        valid_from_at=datetime(2026, 11, 2, tzinfo=UTC),
    )

    assert run("--dry-run")[-2].endswith("$0.011 → $0.005 (−$0.006).")
