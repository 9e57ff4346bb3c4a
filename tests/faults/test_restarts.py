"""PostgreSQL really stopped and started again, in order and as in a crash, while requests go on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.ground import Ground, Installed, configuration, state_of
from tests.faults.own_postgres import OwnPostgres, own_postgres
from tests.faults.test_services import asked_more, under_load
from tests.faults.upstream import SECRET
from tests.processes import GatewayProcess


@pytest.fixture
def server() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        with psycopg.connect(f"{server.url}/postgres", autocommit=True) as database:
            database.execute("CREATE DATABASE gateway")
        yield server


@pytest.fixture
def ground(installed: Installed, server: OwnPostgres, tmp_path: Path) -> Iterator[Ground]:
    gateway = GatewayProcess(tmp_path, DATABASE_URL=f"{server.url}/gateway")
    gateway.manage("migrate", "-v0")
    key = gateway.set_up_as(configuration(installed.upstream), UPSTREAM_SECRET=SECRET)
    gateway.start()
    yield Ground(gateway, installed.upstream, key)
    gateway.stop()


async def test_a_database_that_is_restarted_costs_no_request_and_no_record(
    ground: Ground, server: OwnPostgres
):
    await ground.warm_up()
    async with under_load(ground, "chat/sound", "native/sound"):
        for how in ("fast", "immediate"):
            await asked_more(ground, 20)
            await asyncio.to_thread(server.stop, how)
            await state_of(ground, "database", "no answer")
            await asked_more(ground, 20)
            await asyncio.to_thread(server.start)
            await state_of(ground, "database", "ok")
        await asked_more(ground, 20)
    await ground.check(may_log_errors=True)
    await asyncio.to_thread(ground.gateway.stop)
    ground.check_stopped()
    await asyncio.to_thread(ground.gateway.manage, "roll_up_usage", "--verify")
