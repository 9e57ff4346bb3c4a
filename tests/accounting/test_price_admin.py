"""The pages of the price book, of adjustments, and what records show of both."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from accounting.models import Adjustment, Price, PriceTier
from tests.factories.accounting import make_price, make_team, make_usage

pytestmark = pytest.mark.django_db

LIST = "admin:accounting_price_changelist"


def text_of(client, name: str, *args, **query) -> str:
    page = client.get(reverse(name, args=args), query)
    assert page.status_code == 200
    return page.content.decode()


def adjust(record, amount: str, **fields) -> Adjustment:
    return Adjustment.objects.create(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        key_id=record.key_id,
        amount_usd=Decimal(amount),
        **{
            "reason": "new contract",
            "run": "recost-1",
            "by": "ada",
            "at": record.started_at,
            **fields,
        },
    )


def test_a_price_is_added_with_its_tiers(admin_client):
    form = {
        "provider": "anthropic",
        "upstream_model": "claude",
        "valid_from_at_0": "2026-01-01",
        "valid_from_at_1": "00:00:00",
        "source": "manual",
        "prompt_usd_per_mtok": "3",
        "completion_usd_per_mtok": "15",
        "request_usd": "0",
        "image_usd": "0.002",
        "tiers-TOTAL_FORMS": "1",
        "tiers-INITIAL_FORMS": "0",
        "tiers-0-prompt_tokens_above": "200000",
        "tiers-0-prompt_usd_per_mtok": "6",
        "tiers-0-completion_usd_per_mtok": "22.5",
    }
    assert admin_client.post(reverse("admin:accounting_price_add"), form).status_code == 302

    price = Price.objects.get()
    assert (price.image_usd, price.tiers.get().prompt_tokens_above) == (Decimal("0.002"), 200_000)


def test_the_form_is_filled_in_by_the_address(admin_client):
    page = text_of(
        admin_client,
        "admin:accounting_price_add",
        provider="router",
        upstream_model="a/large",
        valid_from_at="2026-11-01T00:00:00Z",
    )

    for value in ('value="router"', 'value="a/large"', 'value="2026-11-01"', 'value="manual"'):
        assert value in page
    assert "From when to when" not in page
    for odd in ("soon", "2026-13-77T00:00"):
        text_of(admin_client, "admin:accounting_price_add", valid_from_at=odd)


def test_a_price_shows_the_history_of_its_model(admin_client):
    now = datetime.now(UTC)
    old = make_price(valid_from_at=now - timedelta(days=60), prompt_usd_per_mtok=Decimal(77))
    new = make_price(cache_read_usd_per_mtok=Decimal("0.3"), valid_from_at=now - timedelta(days=1))
    make_price(valid_from_at=now + timedelta(days=30), prompt_usd_per_mtok=Decimal(66))
    make_price(upstream_model="other", prompt_usd_per_mtok=Decimal(55))
    PriceTier.objects.create(
        price=old,
        prompt_tokens_above=200_000,
        prompt_usd_per_mtok=Decimal(88),
        completion_usd_per_mtok=Decimal(99),
    )
    page = text_of(admin_client, "admin:accounting_price_change", new.pk)

    assert "$77" in page
    assert "above 200,000: $88.00 / $99.00" in page
    assert "$55" not in page
    for state in ("in force", "to come", "replaced"):
        assert f"<td>{state}</td>" in page
    assert reverse("admin:accounting_price_change", args=[old.pk]) in page


def test_prices_are_found_by_their_state(admin_client):
    now = datetime.now(UTC)
    make_price(valid_from_at=now - timedelta(days=60), source="oldest")
    make_price(valid_from_at=now - timedelta(days=1), source="current")
    make_price(valid_from_at=now + timedelta(days=30), source="future")
    make_price(upstream_model="other", source="single")

    def found(**query) -> list[str]:
        page = text_of(admin_client, LIST, **query)
        body = page[page.index("<tbody") :]
        names = ("oldest", "current", "future", "single")
        return [name for name in names if f"{name}<" in body or f">{name}" in body]

    assert len(found()) == 4
    assert found(state="in force") == ["current", "single"]
    assert found(state="to come") == ["future"]
    assert found(state="replaced") == ["oldest"]


def test_a_list_of_many_prices_asks_few_questions(admin_client, django_assert_max_num_queries):
    for number in range(60):
        make_price(upstream_model=f"model-{number}")
    with django_assert_max_num_queries(12):
        text_of(admin_client, LIST)


def test_what_is_used_without_a_price_is_listed_with_a_form_for_it(admin_client):
    recently = datetime.now(UTC) - timedelta(days=3)
    make_usage(upstream_model="a/large", started_at=recently)
    make_usage(upstream_model="a/large", started_at=recently, cost_usd=Decimal(1))
    make_usage(upstream_model="b/mended", started_at=recently)
    make_usage(upstream_model="c/priced", started_at=recently, cost_usd=Decimal(1))
    make_usage(upstream_model="d/old", started_at=recently - timedelta(days=40))
    for model in ("b/mended", "c/priced"):
        make_price(upstream_model=model)
    page = text_of(admin_client, "admin:accounting_price_show_unpriced")

    assert "No price in force (1)" in page
    assert (
        f"provider=openrouter&amp;upstream_model=a%2Flarge&amp;valid_from_at={recently:%Y-%m-%d}"
        in page
    )
    assert "Unpriced although there is a price now (1)" in page
    assert f"recost --from {recently:%Y-%m-%d} --to" in page
    assert "b/mended" in page
    assert "c/priced" not in page
    assert "d/old" not in page


def test_where_everything_has_a_price_the_page_says_so(admin_client):
    assert "Every model that was used has a price." in text_of(
        admin_client, "admin:accounting_price_show_unpriced"
    )


def test_the_book_is_exported(admin_client):
    make_price()
    answer = admin_client.get(reverse("admin:accounting_price_export_csv"))

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.decode().splitlines()[1].startswith("openrouter,model,2026-01-01")


@pytest.mark.parametrize("name", ["show_unpriced", "export_csv", "import_prices"])
def test_the_pages_are_for_staff_with_a_permission(client, django_user_model, name):
    address = reverse(f"admin:accounting_price_{name}")
    assert client.get(address).status_code == 302
    client.force_login(django_user_model.objects.create_user("bea", is_staff=True))
    assert client.get(address).status_code == 403


def test_a_record_shows_its_adjustments_and_costs_what_they_leave(admin_client):
    price = make_price()
    record = make_usage(
        cost_usd=Decimal("1.5"),
        cost_source="price_book",
        price_id=price.pk,
        prompt_images=2,
        cache_saved_usd=Decimal("-0.25"),
    )
    adjust(record, "0.5")
    adjust(record, "-0.25", run="recost-2", reason="<b>oops</b>", by="")
    page = text_of(admin_client, "admin:accounting_usagerecord_change", record.pk)

    assert "$1.75 (adjusted)" in page
    assert "Booked at first: $1.50" in page
    assert "+$0.5" in page
    assert "−$0.25" in page
    assert "<b>oops</b>" not in page
    assert reverse("admin:accounting_price_change", args=[price.pk]) in page
    assert "$1.75 (adjusted)" in text_of(admin_client, "admin:accounting_usagerecord_changelist")


def test_an_unpriced_record_that_was_adjusted_has_a_cost(admin_client):
    adjust(make_usage(), "0")

    assert "$0 (adjusted)" in text_of(admin_client, "admin:accounting_usagerecord_changelist")


def test_a_record_without_adjustments_says_so(admin_client):
    record = make_usage(cache_saved_usd=Decimal("0.5"))
    page = text_of(admin_client, "admin:accounting_usagerecord_change", record.pk)

    assert "None." in page
    assert "$0.5" in page


def test_adjustments_are_looked_at_only(admin_client):
    assert "Records are never changed" in text_of(
        admin_client, "admin:accounting_adjustment_changelist"
    )
    record = make_usage(cost_usd=Decimal(1))
    row = adjust(record, "0.5")
    assert "+$0.5" in text_of(admin_client, "admin:accounting_adjustment_changelist", q="recost-1")
    assert "new contract" in text_of(admin_client, "admin:accounting_adjustment_change", row.pk)
    for name, args in (("add", []), ("delete", [row.pk])):
        address = reverse(f"admin:accounting_adjustment_{name}", args=args)
        assert admin_client.post(address, {"post": "yes"}).status_code == 403
    change = reverse("admin:accounting_adjustment_change", args=[row.pk])
    assert admin_client.post(change, {"reason": "x"}).status_code == 403


def test_adjustments_are_found_by_team(admin_client):
    make_team("alder")
    make_team("birch")
    adjust(make_usage(), "0.5", reason="ours")
    adjust(make_usage(team="birch"), "0.5", reason="theirs")
    page = text_of(admin_client, "admin:accounting_adjustment_changelist", team="birch")

    assert "theirs" in page
    assert "ours" not in page


def test_records_are_found_by_dialect(admin_client):
    make_usage(alias="first")
    make_usage(alias="second", client_dialect="openai_chat")
    name = "admin:accounting_usagerecord_changelist"

    assert "first" in text_of(admin_client, name)
    page = text_of(admin_client, name, client_dialect="openai_chat")
    assert "second" in page
    assert ">first<" not in page
