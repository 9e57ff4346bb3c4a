"""Importing prices on their page: shown first, booked when it is still the same."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounting.models import Price
from llmgateway import price_page
from routing import snapshot
from tests.factories.accounting import make_price
from tests.factories.routing import make_credential, make_deployment, make_provider
from tests.fakes.upstream import json_answer
from tests.routing.test_commands import running_upstream

pytestmark = pytest.mark.django_db

ADDRESS = "/admin/accounting/price/import/"
CSV = """provider,model,prompt_tokens_above,prompt_usd_per_mtok,completion_usd_per_mtok
anthropic,claude,,3,15
anthropic,claude,200000,6,22.5
anthropic,<b>odd</b>,,1,2
"""


def look(client, **fields) -> str:
    page = client.post(ADDRESS, {"source": "csv", **fields})
    assert page.status_code == 200
    return page.content.decode()


def upload(text: str | bytes = CSV) -> SimpleUploadedFile:
    return SimpleUploadedFile("prices.csv", text.encode() if isinstance(text, str) else text)


def hidden_in(page: str) -> dict[str, object]:
    """What the preview's form sends along."""
    shown = re.search(r'name="shown" value="(\w+)"', page)
    return {
        "shown": shown[1] if shown else "",
        "chosen": re.findall(r'name="chosen" value="(\w+)"', page),
    }


def test_the_page_lies_where_the_list_leads_to(admin_client):
    assert reverse("admin:accounting_price_import_prices") == ADDRESS
    assert (
        ADDRESS in admin_client.get(reverse("admin:accounting_price_changelist")).content.decode()
    )
    assert "Look at it" in admin_client.get(ADDRESS).content.decode()


def test_a_file_is_shown_and_then_booked(admin_client):
    page = look(admin_client, file=upload())
    assert "prompt <b>$3</b>" in page
    assert "prompt above 200,000 tokens <b>$6</b>" in page
    assert "<b>odd</b>" not in page
    assert not Price.objects.exists()

    sent = {"source": "csv", "text": CSV, "book": "all", **hidden_in(page)}
    answer = admin_client.post(ADDRESS, sent, follow=True)

    assert "2 prices booked" in answer.content.decode()
    assert Price.objects.get(upstream_model="claude").tiers.count() == 1
    assert "2 the same as in the book" in look(admin_client, file=upload())


def test_only_what_is_chosen_is_booked(admin_client):
    page = look(admin_client, file=upload())
    sent = hidden_in(page)
    chosen = sent["chosen"]
    assert isinstance(chosen, list)
    answer = admin_client.post(
        ADDRESS, {"source": "csv", "text": CSV, "book": "chosen", "chosen": chosen[:1]}, follow=True
    )

    assert "1 price booked" in answer.content.decode()
    assert Price.objects.count() == 1


@pytest.mark.parametrize("book", ["all", "chosen"])
def test_what_is_no_longer_what_was_shown_is_not_booked(admin_client, book):
    sent = hidden_in(look(admin_client, file=upload()))
    text = CSV.replace("3,15", "4,15")
    page = look(admin_client, text=text, book=book, **sent)

    assert "Nothing was booked" in page
    assert not Price.objects.exists()


def test_a_price_that_changes_is_shown_old_and_new(admin_client):
    make_price(
        provider="anthropic",
        upstream_model="claude",
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    text = "provider,model,valid_from_at,prompt_usd_per_mtok,completion_usd_per_mtok\n"
    page = look(
        admin_client,
        file=upload(text + "anthropic,claude,2026-01-01,4,15\nanthropic,claude,2026-02-01,5,15\n"),
    )

    assert "prompt $3 → <b>$5</b>" in page
    assert "2026-02-01 00:00" in page
    assert "Another price has that moment already" in page


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose a CSV file."),
        ({"file": b"\xff\xfe"}, "The file is not in UTF-8."),
        ({"file": b"x" * (1024 * 1024 + 1)}, "larger than 1 MB"),
        ({"file": b"provider\n"}, "Line 1: the column model is missing"),
        ({"source": "litellm"}, "has no names for the models"),
        ({"source": "openrouter"}, "of the kind OpenRouter"),
        ({"source": "elsewhere"}, "Select a valid choice"),
    ],
    ids=["nothing", "no text", "too long", "no columns", "no names", "no provider", "no source"],
)  # fmt: skip
def test_what_cannot_be_read_is_said(admin_client, fields, sentence):
    if "file" in fields:
        fields = {**fields, "file": upload(fields["file"])}

    assert sentence in look(admin_client, **fields)


def test_the_cost_map_is_shown_with_what_is_left_out(admin_client, monkeypatch):
    sdk = make_provider("sdk", kind="litellm_sdk")
    make_deployment(sdk, "gpt-4o-mini")
    make_deployment(sdk, "nobody-knows-it")
    make_price(provider="sdk", upstream_model="gpt-4o", prompt_usd_per_mtok=Decimal(99))
    make_price(provider="sdk", upstream_model="gone", source="litellm cost map")
    snapshot.bump()
    monkeypatch.setattr(price_page, "ROWS_SHOWN_MAX", 0)
    assert "There are 1 more" in look(admin_client, source="litellm")
    monkeypatch.setattr(price_page, "ROWS_SHOWN_MAX", 400)
    page = look(admin_client, source="litellm")

    assert "sdk: gpt-4o-mini" in page
    assert "Entered by hand and different" in page
    assert "Not told any more" in page
    assert "sdk: nobody-knows-it" in page
    assert "input_cost_per_token_batches" in page
    assert "prompt $99 → " in look(admin_client, source="litellm", over_manual="on")
    assert "gpt-4o-mini" not in look(admin_client, source="litellm", filter="claude-*")


def test_openrouter_is_asked(admin_client):
    with running_upstream() as upstream:
        upstream.default = json_answer(
            {
                "data": [
                    {"id": "a/large", "pricing": {"prompt": "0.000003", "completion": "0.000015"}}
                ]
            }
        )
        make_credential(make_provider("router", base_url=upstream.url))
        snapshot.bump()
        page = look(admin_client, source="openrouter")
        assert "router: a/large" in page
        upstream.default = json_answer(
            {"error": {"message": "No such key", "code": 401}}, status=401
        )
        assert "No such key" in look(admin_client, source="openrouter")
