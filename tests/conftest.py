"""What all tests share."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from django.db import connection
from hypothesis import settings

from accounting.audit import guard
from tests.processes import GatewayProcess
from tests.rows import take_back_quickly
from tests.services import POSTGRES_URL, a_database
from tests.shares import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler

# CI tries the same examples each time, so that a commit is judged by what it changed; elsewhere chance goes on looking.
# No example has a deadline: on a busy machine any of them may take long, whatever the code does.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("elsewhere", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "elsewhere")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tests that are marked ``uncovered``, and what is made for them, run without the coverage's tracer.

    It makes Python take twice as long, and they run hardly a line that others do not run. Neither is what is tried by
    chance measured: a line that only chance reaches is not tested.
    """
    here, in_threads = sys.gettrace(), threading.gettrace()
    if item.get_closest_marker("uncovered") or item.get_closest_marker("hypothesis"):
        sys.settrace(None)
        threading.settrace(None)
    try:
        return (yield)
    finally:
        threading.settrace(in_threads)
        sys.settrace(here)


@dataclass
class LoopClock:
    """The running loop's time, in seconds since the test began, as the test wants it."""

    passed_s: float = 0.0


@pytest.fixture
async def loop_clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopClock]:
    """Time stands still until the test lets it pass."""
    made, loop = LoopClock(), asyncio.get_running_loop()
    began_s = loop.time()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", lambda: began_s + made.passed_s)
        yield made


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Tests empty tables, the audit trail's too, which a database does not allow: its triggers are tested by themselves."""
    del django_db_setup
    with django_db_blocker.unblock():
        assert guard.is_installed(connection), (
            "the migrations must leave the guard of the trail there"
        )
        guard.remove(connection)
        take_back_quickly()


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database in PostgreSQL that was migrated from nothing; nobody writes to it: to be copied."""
    with a_database() as name:
        data_dir = tmp_path_factory.mktemp("migrated")
        url = f"{POSTGRES_URL}/{name}"
        GatewayProcess(data_dir, DATABASE_URL=url).manage("migrate", "-v0")
        yield name
