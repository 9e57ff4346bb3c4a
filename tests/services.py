"""The services that some tests need, on this machine: skipped where they are not, unless they are said to be there."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

POSTGRES_URL = "postgres://root@127.0.0.1:5432"
REDIS_URL = os.environ.get("GATEWAY_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


def listens(host: str, port: int) -> bool:
    """Whether anything listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


needs_redis = pytest.mark.skipif(
    os.environ.get("GATEWAY_TEST_SERVICES") != "required" and not listens("127.0.0.1", 6379),
    reason="No Redis listens at 127.0.0.1:6379; GATEWAY_TEST_SERVICES=required makes this a failure.",
)
needs_postgres = pytest.mark.skipif(
    os.environ.get("GATEWAY_TEST_SERVICES") != "required" and not listens("127.0.0.1", 5432),
    reason="No PostgreSQL listens at 127.0.0.1:5432; GATEWAY_TEST_SERVICES=required makes this a failure.",
)


@contextmanager
def a_database(*, copied_from: str = "") -> Iterator[str]:
    """The name of a database in PostgreSQL, empty or a copy of another, that is thrown away at the end."""
    name = f"llmgateway_test_{uuid.uuid4().hex[:12]}"
    template = f'TEMPLATE "{copied_from}"' if copied_from else ""
    with psycopg.connect(f"{POSTGRES_URL}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" {template}')
        try:
            yield name
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
