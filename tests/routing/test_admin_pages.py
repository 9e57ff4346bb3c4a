"""Every admin page of routing, with a large company's rows: each asks little."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.urls import reverse

from llmgateway.runtime import refresh_pictures
from routing.models import ModelAlias, Provider
from tests.admin_walk import addresses_of, name_of, pages_of
from tests.factories import many_routes
from tests.page_meter import Meter

pytestmark = [pytest.mark.uncovered, pytest.mark.django_db, pytest.mark.timeout(300)]
PAGES = pages_of("routing")
STEPS_MAX = 1_000_000


@pytest.fixture(scope="module")
def company(django_db_setup, django_db_blocker) -> Iterator[User]:
    """Somebody who may see all of 500 deployments, 300 aliases and 2,000 routes; taken back in the end."""
    del django_db_setup
    with django_db_blocker.unblock(), transaction.atomic():
        many_routes.fill()
        refresh_pictures()
        yield User.objects.create_superuser("root")
        transaction.set_rollback(True)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="It counts SQLite's steps.")
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_asks_little(company, page):
    meter = Meter(company)
    for address in addresses_of(page, company, search="model-1"):
        meter.open(address, steps_max=STEPS_MAX)

    assert meter.faults == []


def test_the_largest_alias_and_provider_are_among_them(company):
    alias = ModelAlias.objects.get(name="alias-000")
    assert alias.routes.count() > many_routes.LONG_ALIAS_ROUTES
    meter = Meter(company)
    for row in (alias, Provider.objects.get(slug="provider-0")):
        address = reverse(f"admin:routing_{row._meta.model_name}_change", args=[row.pk])
        meter.open(address, steps_max=STEPS_MAX)

        assert meter.faults == []
        assert meter.get(address).content.count(b"<input") < 1500
