"""Lists of big tables: a count that ends early says so."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from accounting.admin import big_tables
from accounting.admin.big_tables import AtLeast, BoundedPaginator
from tests.factories.accounting import make_usage

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _few_are_counted(monkeypatch):
    monkeypatch.setattr(big_tables, "COUNTED_MAX", 3)


def people(count: int) -> BoundedPaginator:
    User.objects.bulk_create(User(username=f"u{number}") for number in range(count))
    return BoundedPaginator(User.objects.order_by("pk"), 2)


@pytest.mark.parametrize(("rows", "told", "pages"), [(2, "2", 1), (3, "3", 2), (4, "3+", 2)])
def test_no_further_is_counted_than_pages_are_turned(rows, told, pages):
    paginator = people(rows)

    assert str(paginator.count) == told
    assert paginator.count == min(rows, 3)
    assert paginator.num_pages == pages


def test_a_count_that_ended_early_has_its_thousands_apart_and_a_plus():
    assert f"{AtLeast(10_000)}" == str(AtLeast(10_000)) == "10,000+"


def test_the_list_of_usage_records_does_not_say_a_number_that_is_not_true(admin_client):
    address = reverse("admin:accounting_usagerecord_changelist")
    for _ in range(3):
        make_usage()
    assert "3 usage records" in " ".join(admin_client.get(address).content.decode().split())
    make_usage()
    page = " ".join(admin_client.get(f"{address}?status__exact=succeeded").content.decode().split())
    assert "3+ usage records" in page
    assert "3+ results" in page
