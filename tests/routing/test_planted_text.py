"""Markup and what a terminal obeys, in every text of every row of routing: each admin page shows it as text."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from routing.models import Route
from tests.admin_walk import addresses_of, name_of, pages_of
from tests.factories import many_routes
from tests.llmgateway.test_planted_text import faults_of
from tests.planted import MARKUP, TERMINAL

pytestmark = [pytest.mark.django_db, pytest.mark.uncovered]
PLANTED = f"{MARKUP}{TERMINAL}"


@pytest.fixture
def planted(monkeypatch) -> User:
    """A few rows of each model, with markup and what a terminal obeys in every text."""
    for name in ("PROVIDERS", "DEPLOYMENTS", "ALIASES", "ROUTES", "RULES"):
        monkeypatch.setattr(many_routes, name, 3)
    monkeypatch.setattr(many_routes, "LONG_ALIAS_ROUTES", 2)
    many_routes.fill(PLANTED)
    assert Route.objects.filter(teams__contains=MARKUP).exists()
    return User.objects.create_superuser("root")


@pytest.mark.parametrize("page", pages_of("routing"), ids=name_of)
def test_a_page_shows_what_was_typed_as_text(planted, page):
    client = Client()
    client.force_login(planted)
    found = [
        fault
        for address in addresses_of(page, planted, search=MARKUP, with_orders=False)
        for fault in faults_of(client, address)
    ]

    assert found == []
