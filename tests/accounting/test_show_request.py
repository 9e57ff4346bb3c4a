"""One request in the terminal: told whole, and without anything that a terminal would act on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest
from django.core.management import CommandError, call_command

from accounting.models import Adjustment, AuditEntry
from accounting.request_logs import Capture
from tests.factories.accounting import make_price, make_request_log, make_usage

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BARE = f"{int(NOON.timestamp() * 1000):012x}{1:016x}"
ID = f"req_{BARE}"
EVIL = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe \x9b31m"


def served(**fields) -> None:
    price = make_price(upstream_model="m")
    make_usage(id=f"{BARE}-1", request_id=ID, attempt=1, started_at=NOON + timedelta(milliseconds=20), status="failed",
               error="UpstreamRateLimited", upstream_status=429, error_message="slow down", duration_ms=100)  # fmt: skip
    least = {
        "session": "s-1",
        "tags": ",ci,",
        "member": "ada",
        "end_user": "dev",
        "agent": "main",
        "project": "web",
    }
    make_usage(**{**least, "id": f"{BARE}-2", "request_id": ID, "attempt": 2, "upstream_model": "m",
                  "started_at": NOON + timedelta(milliseconds=200), "duration_ms": 1000, "ttft_ms": 500,
                  "after_error": "UpstreamRateLimited", "prompt_tokens": 10, "completion_tokens": 1,
                  "cost_usd": Decimal("0.000045"), "cost_source": "price_book", "price_id": price.pk,
                  "upstream_id": "gen-1", "notes": [["dropped", "top_k", "no place"]], **fields})  # fmt: skip


def keep(body: bytes, bytes_max: int = 1000) -> None:
    kept = Capture(bytes_max)
    kept.add(body)
    make_request_log(id=f"{BARE}-2", request_id=ID, bytes_max=bytes_max, bodies={"client_request": kept},
                     headers={"client_request": [("x-title", EVIL)]})  # fmt: skip


def shown(capsys, *words: str) -> str:
    call_command("show_request", *words)
    return capsys.readouterr().out


def test_a_request_is_told_from_top_to_bottom(capsys):
    served()
    Adjustment.objects.create(
        record_id=f"{BARE}-2", record_started_at=NOON, team="alder", key_id=1, by="root", at=NOON,
        amount_usd=Decimal("-0.000005"), reason="a better price", run="r",
    )  # fmt: skip
    text = shown(capsys, ID)

    for said in (
        "2026-11-20 12:00:00.000 UTC",
        "team alder, project web, API key laptop (number 1) of ada",
        "Tags      ci",
        "It failed with UpstreamRateLimited, status 429: slow down.",
        "went to openrouter: m, 80 ms later.",  # 200 - 120
        "200 to      500 ms  waiting for the first content",
        "10 prompt tokens, not cached at $3 per million = $0.00003",
        "adjusted -$0.000005: a better price (root)",
        "with adjustments $0.00004",
        "Conversion dropped top_k: no place",
        "not kept",
    ):
        assert said in text


def test_a_record_names_its_request(capsys):
    served()

    assert shown(capsys, f"{BARE}-1").startswith(ID)


def test_bodies_are_shown_where_they_are_asked_for_and_that_is_noted(capsys):
    served()
    keep(b'{"model": "m"}')
    closed = shown(capsys, ID)
    assert not AuditEntry.objects.filter(action="use").exists()
    opened = shown(capsys, ID, "--bodies")

    assert "--bodies shows them" in closed
    assert '"model": "m"' in opened
    assert AuditEntry.objects.filter(action="use").count() == 1


def test_a_body_that_was_cut_says_so(capsys):
    served()
    keep(b"x" * 5000, bytes_max=100)

    assert "cut here: 5,000 bytes crossed" in shown(capsys, ID, "--bodies")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_what_was_said_cannot_act_on_the_terminal(capsys, form):
    served(
        alias=EVIL,
        session=EVIL,
        agent=EVIL,
        error_message=EVIL,
        status="failed",
        notes=[["dropped", EVIL, EVIL]],
    )
    keep(EVIL.encode())
    text = shown(capsys, ID, "--bodies", *form)

    assert "\x1b" not in text
    assert not {
        char for char in text if ord(char) in {*range(10), *range(11, 32), *range(127, 160)}
    }
    assert "\u202e" not in text
    assert "owned" in text


def test_json_says_the_same_as_the_page(capsys):
    served(alias="größe 🙂")
    tree = orjson.loads(shown(capsys, ID, "--json"))

    assert tree["request_id"] == ID
    assert tree["alias"] == "größe 🙂"
    assert tree["attempts"][1]["bill"]["lines"][0]["count"] == 10
    assert "messages" not in tree["attempts"][1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"cost_usd": None, "cost_source": "unpriced"},
            "Cost: unpriced. The price book had no price",
        ),
        ({"cost_usd": Decimal(1), "cost_source": "provider"}, "Cost: $1 (provider's own figure)"),
        ({"cost_usd": Decimal(1)}, "the price has been changed since: it gives $0.000045 now"),
        ({"cost_usd": None, "status": "failed"}, "Cost      none"),
        ({"tokens_estimated": True}, "counted from the text"),
        ({"ttft_ms": None, "duration_ms": 0}, "TTFT not known"),
    ],
    ids=["unpriced", "provider", "changed", "failed", "estimated", "whole"],
)
def test_every_cost_says_where_it_is_from(capsys, fields, said):
    served(**fields)

    assert said in shown(capsys, ID)


def test_an_unknown_id_says_what_that_may_mean():
    with pytest.raises(CommandError, match="leaves no record"):
        call_command("show_request", "req_1")
