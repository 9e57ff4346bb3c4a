"""PostgreSQL that says nothing: who gives up, and when; and what DATABASE_URL may say of it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import psycopg
import pytest

from llmgateway.postgres import waits
from llmgateway.postgres.base import Connection, DatabaseWrapper, Silent
from tests.processes import ROOT
from tests.services import needs_postgres
from tests.waiting import PATIENCE_S

SERVER = "postgres://root@127.0.0.1:5432/postgres"
LONG = "SELECT pg_sleep(20)"
SHORT_S = 0.5


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that bears what a test says, and is gone after it."""
    with ThreadPoolExecutor(1) as made:
        yield made


def ask(statement: str) -> tuple[float, bool]:
    """Seconds until the server answered, or was given up; and whether the connection is closed."""
    with Connection.connect(SERVER) as connection:
        began_s = time.monotonic()
        with contextlib.suppress(Silent):
            connection.execute(statement)
        return time.monotonic() - began_s, connection.closed


@needs_postgres
def test_a_thread_gives_a_silent_connection_up_and_closes_it(thread: ThreadPoolExecutor):
    thread.submit(waits.bear_silence, SHORT_S).result()

    took_s, is_closed = thread.submit(ask, LONG).result(PATIENCE_S)

    assert SHORT_S <= took_s < 15
    assert is_closed


@needs_postgres
def test_rows_that_keep_coming_are_no_silence(thread: ThreadPoolExecutor):
    thread.submit(waits.bear_silence, SHORT_S).result()

    def read() -> int:
        with Connection.connect(SERVER) as connection:
            slow = "SELECT repeat('x', 500000), pg_sleep(0.1) FROM generate_series(1, 15)"
            return len(connection.execute(slow).fetchall())

    assert thread.submit(read).result(PATIENCE_S) == 15  # in 1.5 s


@needs_postgres
def test_other_threads_wait_as_long_as_it_takes(thread: ThreadPoolExecutor):
    thread.submit(waits.bear_silence, SHORT_S).result()

    took_s, is_closed = ask("SELECT pg_sleep(1.5)")

    assert took_s >= 1.5
    assert not is_closed


@needs_postgres
def test_a_stop_ends_the_waits_under_way_and_no_later_ones(thread: ThreadPoolExecutor):
    asking = thread.submit(ask, LONG)
    time.sleep(0.5)
    waits.end_waits(SHORT_S)
    took_s, is_closed = asking.result(PATIENCE_S)
    assert took_s < 15
    assert is_closed

    assert not thread.submit(ask, "SELECT pg_sleep(1)").result(PATIENCE_S)[1]


@needs_postgres
def test_what_the_server_refuses_is_told_as_ever(thread: ThreadPoolExecutor):
    thread.submit(waits.bear_silence, SHORT_S).result()
    with pytest.raises(psycopg.errors.UndefinedTable):
        thread.submit(ask, "SELECT * FROM nothing_of_the_sort").result(PATIENCE_S)


def test_django_knows_it_for_its_own_postgresql():
    assert DatabaseWrapper.vendor == "postgresql"
    assert issubclass(Silent, DatabaseWrapper.Database.OperationalError)


PROGRAM = (
    "import orjson; from django.conf import settings as s; d = s.DATABASES['default'];"
    "print(orjson.dumps([d['ENGINE'], d.get('OPTIONS')]).decode())"
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"connect_timeout": 5, "tcp_user_timeout": 15_000}),
        ("?connect_timeout=9&sslmode=require", {"connect_timeout": 9, "sslmode": "require"}),
    ],
)
def test_timeouts_are_set_and_what_database_url_says_goes_before(tmp_path, query, expected):
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgres://somebody@db.example/name{query}",
        "GATEWAY_DATA_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
    }
    words = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=True)

    engine, options = orjson.loads(run.stdout)

    assert engine == "llmgateway.postgres"
    assert options.items() >= expected.items()
    assert options["keepalives_idle"] == 10
