"""Two workers of one ``serve``, with Redis, on each database, of which one is killed in the middle of streams."""

import asyncio
import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground, Installed, configuration
from tests.faults.test_ends import STREAMS, under_way
from tests.faults.upstream import SECRET
from tests.processes import GatewayProcess, gateway_process
from tests.services import POSTGRES_URL, REDIS_URL, a_database, needs_postgres, needs_redis
from tests.waiting import until

pytestmark = needs_redis


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewayProcess]:
    shared = {"REDIS_URL": REDIS_URL, "GATEWAY_REDIS_PREFIX": f"test-{secrets.token_hex(6)}"}
    if request.param == "sqlite":
        with gateway_process(tmp_path, **shared) as gateway:
            yield gateway
        return
    with a_database(copied_from=request.getfixturevalue("migrated_database")) as name:
        gateway = GatewayProcess(tmp_path, DATABASE_URL=f"{POSTGRES_URL}/{name}", **shared)
        yield gateway
        gateway.stop()


def journals(gateway: GatewayProcess) -> Counter[int]:
    """How many attempts are noted in the journal of each process."""
    noted: Counter[int] = Counter()
    for path in (gateway.data_dir / "journal").glob("*.jsonl"):
        noted[int(path.name.partition("-")[0])] += path.read_bytes().count(b'"id":')
    return noted


async def test_a_worker_that_is_killed_takes_only_its_own_streams_with_it(
    installed: Installed, gateway: GatewayProcess
):
    """The other goes on, a new one comes, and what the dead one had noted is booked: all of it once."""
    tree = configuration(installed.upstream)
    key = await asyncio.to_thread(gateway.set_up_as, tree, UPSTREAM_SECRET=SECRET)
    await asyncio.to_thread(gateway.start, workers=2)
    ground = Ground(gateway, installed.upstream, key)
    before = await all_at_work(ground, gateway)
    await ground.warm_up()
    async with ground.client() as http:
        streams = await under_way(ground, http, "chat/never-ends")
        (doomed, _count), *_rest = journals(gateway).most_common()
        os.kill(doomed, signal.SIGKILL)
        broken = await first_broken(streams)

        for told in await ground.ask_in_all_ways("chat/sound", "native/sound", count=10):
            told.check_end()
            assert (told.status, told.error) == (200, {})
        going_on = [stream for stream in streams if not stream.done()]
        assert len(going_on) == STREAMS - broken

        await until(lambda: len(gateway.workers()) == 2 and doomed not in gateway.workers())
        assert len(await all_at_work(ground, gateway) & before) == 1
        assert not any(stream.done() for stream in going_on)
        for stream in going_on:
            stream.cancel()
        await asyncio.gather(*going_on, return_exceptions=True)

    rows = await ground.check(may_log_errors=True)
    assert len(rows) == len({row["id"] for row in rows})
    assert Counter(row["error"] for row in rows)["ProcessKilled"] == broken
    assert Counter(row["status"] for row in rows)["client_closed"] == STREAMS - broken
    await asyncio.to_thread(gateway.stop)
    ground.check_stopped()
    await asyncio.to_thread(gateway.manage, "roll_up_usage", "--verify")


async def all_at_work(ground: Ground, gateway: GatewayProcess) -> set[int]:
    """Ask until each worker has answered; their numbers."""
    async with asyncio.timeout(120):
        while len(workers := set(gateway.workers())) < 2 or not workers <= set(journals(gateway)):
            await ground.ask_in_all_ways("chat/sound", count=5)
    return workers


async def first_broken(streams: list[asyncio.Task]) -> int:
    """How many streams a killed process breaks, once no more do: all of its connections go in one moment."""
    await until(lambda: any(stream.done() for stream in streams))
    await asyncio.sleep(3)
    ended = [await stream for stream in streams if stream.done()]
    assert all(told.is_broken for told in ended)
    return len(ended)
