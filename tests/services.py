"""The services that some tests need, on this machine: skipped where they are not, unless they are said to be there."""

import os
import socket

import pytest

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
