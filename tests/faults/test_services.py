"""PostgreSQL gone, back and restarted; Redis gone and back: requests go on, and the books are right after it."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.faults.ground import (
    PATIENT,
    Ground,
    Installed,
    Told,
    configuration,
    provider_tree,
    state_of,
)
from tests.faults.proxy import CuttableProxy
from tests.faults.test_ends import STREAMS, under_way
from tests.faults.upstream import SECRET, in_a_thread
from tests.processes import GatewayProcess
from tests.services import POSTGRES_URL, a_database, needs_postgres, needs_redis

pytestmark = [needs_postgres, needs_redis]
LOAD = ("counted/sound", "native/sound")


class Services:
    """The database, and the way to Redis."""

    def __init__(self, name: str, redis: CuttableProxy) -> None:
        self.name = name
        self.redis = redis

    def let_in(self, *, nobody: bool) -> None:
        """Refuse connections to the database and end those that are there, or let them in again."""
        with psycopg.connect(f"{POSTGRES_URL}/postgres", autocommit=True) as server:
            allow = "false" if nobody else "true"
            server.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS {allow}')
            self.end_connections()

    def end_connections(self) -> None:
        """As a restart of the server does; a real one is in test_restarts."""
        with psycopg.connect(f"{POSTGRES_URL}/postgres", autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [self.name],
            )


@pytest.fixture(scope="module")
def services(migrated_database: str) -> Iterator[Services]:
    redis = CuttableProxy(6379)
    with a_database(copied_from=migrated_database) as name, in_a_thread(redis):
        yield Services(name, redis)


@pytest.fixture(scope="module")
def shared(
    services: Services, installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ground]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("services"),
        DATABASE_URL=f"{POSTGRES_URL}/{services.name}",
        REDIS_URL=f"redis://127.0.0.1:{services.redis.port}/0",
        GATEWAY_REDIS_PREFIX=f"test-{secrets.token_hex(6)}",
    )
    counted = provider_tree(
        "openrouter",
        installed.upstream.url,
        timeouts=PATIENT,
        concurrency={"max": 20, "queue": 500, "wait_s": 30},
    )
    tree = configuration(installed.upstream, counted=counted)
    tree["teams"]["alder"]["requests_per_minute"] = 100_000
    key = gateway.set_up_as(tree, UPSTREAM_SECRET=SECRET)
    try:
        gateway.start()
        yield Ground(gateway, installed.upstream, key)
    finally:
        gateway.stop()
    assert list((gateway.data_dir / "journal").glob("*.jsonl")) == []


@pytest.fixture
async def ground(shared: Ground) -> AsyncIterator[Ground]:
    if not shared.told:
        await shared.warm_up()
    return shared


@contextlib.asynccontextmanager
async def under_load(ground: Ground, *models: str) -> AsyncIterator[list[Told]]:
    """Requests all the time, of which each has to be answered well."""
    told: list[Told] = []
    is_over = asyncio.Event()

    async def ask_on() -> None:
        while not is_over.is_set():
            told.extend(await ground.ask_in_all_ways(*models))

    asking = asyncio.ensure_future(ask_on())
    try:
        yield told
    finally:
        is_over.set()
        await asking
    for one in told:
        one.check_end()
        assert one.status == 200, one
        assert not one.error
        assert one.took_s < 15


async def asked_more(ground: Ground, count: int) -> None:
    """Wait until so many more requests have come to the upstream."""
    until = len(ground.upstream.requests) + count
    async with asyncio.timeout(60):
        while len(ground.upstream.requests) < until:  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0.02)


async def test_a_database_that_goes_and_comes_back_costs_no_request_and_no_record(
    ground: Ground, services: Services
):
    async with under_load(ground, *LOAD):
        await asked_more(ground, 20)
        services.let_in(nobody=True)
        await state_of(ground, "database", "no answer")
        await asked_more(ground, 20)
        services.let_in(nobody=False)
        await state_of(ground, "database", "ok")
        await asked_more(ground, 20)
    await ground.check(may_log_errors=True)


async def test_streams_that_end_while_the_database_is_away_are_booked_when_it_is_back(
    ground: Ground, services: Services
):
    async with ground.client() as http:
        streams = await under_way(ground, http, "chat/slow", "native/slow")
        services.let_in(nobody=True)
        await state_of(ground, "database", "no answer")
        all_told = await asyncio.gather(*streams)
        services.let_in(nobody=False)
    for told in all_told:
        told.check_end()
        assert (told.status, told.error) == (200, {})
    await state_of(ground, "database", "ok")
    rows = await ground.check(may_log_errors=True)
    ids = {told.id for told in all_told}
    assert Counter(row["status"] for row in rows if row["request_id"] in ids) == {
        "succeeded": STREAMS
    }


async def test_a_kill_while_the_database_is_away_costs_no_record(
    ground: Ground, services: Services
):
    """What was settled, and what was under way, is in the journal only when the process dies."""
    async with ground.client() as http:
        services.let_in(nobody=True)
        await state_of(ground, "database", "no answer")
        done = await ground.ask_in_all_ways("chat/sound", count=5)
        streams = await under_way(ground, http, "chat/never-ends")
        ground.gateway.kill()
        await asyncio.gather(*streams)
        services.let_in(nobody=False)
    await asyncio.to_thread(ground.gateway.start)
    rows = await ground.check(may_log_errors=True)
    ids = {told.id for told in done}
    of_done = [row for row in rows if row["request_id"] in ids]
    assert Counter(row["status"] for row in of_done) == {"succeeded": len(done)}
    assert Counter(row["error"] for row in rows)["ProcessKilled"] == STREAMS


async def test_connections_to_the_database_that_are_ended_cost_no_request_and_no_record(
    ground: Ground, services: Services
):
    async with under_load(ground, *LOAD):
        for _ in range(3):
            await asked_more(ground, 20)
            services.end_connections()
    await ground.check(may_log_errors=True)


async def test_redis_that_goes_and_comes_back_costs_no_request_and_no_record(
    ground: Ground, services: Services
):
    async with under_load(ground, *LOAD):
        await asked_more(ground, 20)
        services.redis.cut()
        await state_of(ground, "redis", "away")
        await asked_more(ground, 20)
        services.redis.mend()
        await state_of(ground, "redis", "ok")
        await asked_more(ground, 20)
    await ground.check(may_log_errors=True)
