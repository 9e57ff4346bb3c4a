"""PostgreSQL that hangs, as in a failover: it takes connections and what they send, and says nothing more.

Requests go on, readiness tells of it at once, a stop ends in time, and every record is booked after it.
"""

import asyncio
import gzip
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from llmgateway.runtime import STOP_S
from tests.faults.ground import Ground, Installed, body_for, configuration, state_of
from tests.faults.proxy import CuttableProxy
from tests.faults.test_disk import all_well
from tests.faults.upstream import SECRET, in_a_thread
from tests.processes import GatewayProcess
from tests.services import POSTGRES_URL, REDIS_URL, a_database, needs_postgres, needs_redis

pytestmark = needs_postgres
GRACE_S = 2
PROBES = 40
"""More than the process has threads for whatever blocks."""
PROMISED_S = 2.0
NOTED_WITHIN_S = 4.0
"""Within a quarter of a second on a machine that has nothing else to do."""
ANSWERED_WITHIN_S = 10.0
"""What a request may take on a busy machine; without the mending it takes as long as the database hangs."""


@pytest.fixture
def proxy() -> Iterator[CuttableProxy]:
    proxy = CuttableProxy(5432)
    with in_a_thread(proxy):
        yield proxy


@pytest.fixture
def gateway(
    proxy: CuttableProxy, migrated_database: str, tmp_path: Path
) -> Iterator[GatewayProcess]:
    with a_database(copied_from=migrated_database) as name:
        gateway = GatewayProcess(
            tmp_path,
            DATABASE_URL=f"postgres://root@127.0.0.1:{proxy.port}/{name}",
            GATEWAY_SHUTDOWN_GRACE_S=str(GRACE_S),
            GATEWAY_BUDGET_ALERTS_EVERY_S="1",
        )
        gateway.straight = f"{POSTGRES_URL}/{name}"
        try:
            yield gateway
        finally:
            proxy.mend()
            gateway.stop()


@pytest.fixture
def ground(installed: Installed, gateway: GatewayProcess) -> Ground:
    key = gateway.set_up_as(configuration(installed.upstream), UPSTREAM_SECRET=SECRET)
    gateway.start()
    return Ground(gateway, installed.upstream, key)


async def ready(ground: Ground) -> tuple[float, dict[str, Any]]:
    """What readiness says, and how many seconds that took."""
    began_s = time.monotonic()
    async with ground.client() as http:
        report = (await http.get("/health/ready")).json()
    return time.monotonic() - began_s, report


async def ask_with_gzip(ground: Ground) -> httpx.Response:
    """A request that is unpacked in a thread."""
    body = body_for("chat/sound", stream=False)
    body["messages"][0]["content"] = secrets.token_hex(600_000)
    packed = gzip.compress(orjson.dumps(body), 1)
    async with ground.client() as http:
        return await http.post("/v1/messages", content=packed, headers={"content-encoding": "gzip"})


async def test_a_database_that_hangs_holds_up_no_request_and_readiness_tells_at_once(
    ground: Ground, proxy: CuttableProxy
):
    await ground.warm_up()
    proxy.hang()
    probes = [await ready(ground)]
    probes += await asyncio.gather(*(ready(ground) for _ in range(PROBES)))
    assert min(took_s for took_s, _report in probes) < PROMISED_S
    assert max(took_s for took_s, _report in probes) < ANSWERED_WITHIN_S
    for _took_s, report in probes:
        assert report["status"] == "not ready"
        assert report["database"].startswith("no answer")

    assert all_well(await ground.ask_in_all_ways("chat/sound", "native/sound", count=10))
    assert all(told.took_s < ANSWERED_WITHIN_S for told in ground.told)
    began_s = time.monotonic()
    assert (await ask_with_gzip(ground)).status_code == 200
    assert time.monotonic() - began_s < ANSWERED_WITHIN_S
    await state_of(ground, "ledger", "usage records wait for the database (no answer, for ")

    proxy.mend()
    await state_of(ground, "database", "ok")
    await ground.check(may_log_errors=True)


async def test_a_stop_while_the_database_hangs_ends_in_time_and_the_next_start_books(
    ground: Ground, proxy: CuttableProxy
):
    await ground.warm_up()
    proxy.hang()
    probes = [asyncio.ensure_future(ready(ground)) for _ in range(3)]
    async with ground.client() as http:
        page = asyncio.ensure_future(http.get("/accounts/login/"))
        told = await ground.ask_in_all_ways("chat/sound", count=5)
        await asyncio.gather(*probes)
        assert all_well(told)
        booked = len(ground.gateway.records())
        assert booked < len(ground.upstream.requests)

        began_s = time.monotonic()
        ground.gateway.signal(signal.SIGTERM)
        assert await asyncio.to_thread(ground.gateway.wait) == 0
        assert time.monotonic() - began_s < GRACE_S + STOP_S + 10
        await asyncio.gather(page, return_exceptions=True)
    assert len(ground.gateway.records()) == booked

    proxy.mend()
    await asyncio.to_thread(ground.gateway.start)
    rows = await ground.check(may_log_errors=True)
    ids = {one.id for one in told}
    assert [row["status"] for row in rows if row["request_id"] in ids] == ["succeeded"] * len(told)


@needs_redis
@pytest.mark.parametrize("fault", ["hang", "cut"])
async def test_workers_tell_how_many_records_wait_while_the_database_is_away(
    installed: Installed, gateway: GatewayProcess, proxy: CuttableProxy, fault: str
):
    gateway.environment["REDIS_URL"] = REDIS_URL
    gateway.environment["GATEWAY_REDIS_PREFIX"] = f"test-{secrets.token_hex(6)}"
    tree = configuration(installed.upstream)
    key = await asyncio.to_thread(gateway.set_up_as, tree, UPSTREAM_SECRET=SECRET)
    await asyncio.to_thread(gateway.start, workers=2)
    ground = Ground(gateway, installed.upstream, key)
    await ground.warm_up()
    getattr(proxy, fault)()
    await state_of(ground, "database", "no answer")
    asked = len(await ground.ask_in_all_ways("chat/sound", count=10))
    await asyncio.sleep(NOTED_WITHIN_S)
    assert (
        await records_waiting(ground) == asked
    )  # at the first look, which only one of them answers

    proxy.mend()
    await state_of(ground, "database", "ok")
    await ground.check(may_log_errors=True)


async def records_waiting(ground: Ground) -> float:
    """What /metrics tells, of all workers together."""
    async with ground.client() as http:
        told = (await http.get("/metrics")).text
    return sum(
        float(line.split()[-1])
        for line in told.splitlines()
        if line.startswith("llmgateway_usage_records_waiting")
    )
