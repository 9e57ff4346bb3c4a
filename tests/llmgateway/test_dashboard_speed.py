"""The admin's first page beside a hundred thousand attempts; tests/test_postgres.py has the same on PostgreSQL."""

import pytest
from django.urls import reverse

from accounting.models import UsageRecord
from tests.many_attempts import ATTEMPTS, measured, write_many

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_in_force")]


def test_the_first_page_is_quick_beside_a_hundred_thousand_attempts():
    write_many()
    found = measured(reverse("admin:index"))

    assert UsageRecord.objects.count() > ATTEMPTS == 100_000
    assert found.status == 200
    assert 10 < len(found.queries) <= 30
    assert found.cpu_ms < 300
