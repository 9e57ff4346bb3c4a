"""What all tests share."""

import os

import pytest
from django.db import connection
from hypothesis import settings

from accounting.audit import guard

# CI tries the same examples each time, so that a commit is judged by what it changed; elsewhere chance goes on looking.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Tests empty tables, the audit trail's too, which a database does not allow: its triggers are tested by themselves."""
    del django_db_setup
    with django_db_blocker.unblock():
        assert guard.is_installed(connection), (
            "the migrations must leave the guard of the trail there"
        )
        guard.remove(connection)
