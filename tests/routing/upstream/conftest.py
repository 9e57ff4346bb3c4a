"""Connections are tested on both loops: tests run on asyncio's, the gateway on uvloop's."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

BOTH: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes loops with."""
    return (
        BOTH if item.module.__name__.endswith("test_connection") else {"asyncio": BOTH["asyncio"]}
    )
