"""Two gateways on one PostgreSQL and one Redis, as two machines are: what limits, limits them together."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from tests.fakes.upstream import FakeUpstream, chat_answer, json_answer
from tests.processes import GatewayProcess
from tests.services import REDIS_URL, needs_postgres, needs_redis
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.processes, needs_redis, needs_postgres]
SERVER = "postgres://root@127.0.0.1:5432"
ASK = {"model": "gpt-5", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
COST = Decimal("0.5")


@pytest.fixture
def database() -> Iterator[str]:
    name = f"llmgateway_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        yield f"{SERVER}/{name}"
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def two(database: str, tmp_path) -> Iterator[list[GatewayProcess]]:
    shared = {
        "DATABASE_URL": database,
        "REDIS_URL": REDIS_URL,
        "GATEWAY_REDIS_PREFIX": f"test-{secrets.token_hex(6)}",
        "GATEWAY_SECRET_KEY": secrets.token_hex(32),
        "GATEWAY_SEALING_KEYS": Fernet.generate_key().decode(),
    }
    gateways = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gateways.append(GatewayProcess(tmp_path / name, **shared))
    yield gateways
    for gateway in gateways:
        gateway.stop()


async def test_a_budget_and_a_limit_hold_over_both(two: list[GatewayProcess], database: str):
    upstream = FakeUpstream(json_answer({**chat_answer("Hi"), "usage": usage()}))
    async with upstream:
        key = await asyncio.to_thread(set_up, two, upstream.url)
        async with httpx.AsyncClient(headers={"x-api-key": key}, timeout=PATIENCE_S) as http:
            answers = await asyncio.gather(
                *(
                    http.post(f"{two[number % 2].url}/v1/chat/completions", json=ASK)
                    for number in range(120)
                )
            )
            assert [answer.status_code for answer in answers].count(200) == 20
            assert {answer.status_code for answer in answers} == {200, 429}
            assert len(upstream.requests) == 20
            other = await asyncio.to_thread(make_other_key, two[1])
            http.headers["x-api-key"] = other
            codes = [await status_once_known(http, gateway) for gateway in (*two, *two)]
            assert codes == [200, 200, 200, 429]

    for gateway in two:
        await asyncio.to_thread(gateway.stop)
    with psycopg.connect(database) as server:
        (spent,) = server.execute(
            "SELECT sum(cost_usd) FROM accounting_usagerecord WHERE team = 'alder'"
        ).fetchone()
    assert spent == COST * 20 * 10**12


async def test_a_redis_that_comes_back_empty_makes_no_budget_forget_what_is_spent(
    two: list[GatewayProcess],
):
    """12 requests are settled and 3 under way when all is gone; of 20 that the budget has, 5 are left, not 20."""
    upstream = FakeUpstream(answer := json_answer({**chat_answer("Hi"), "usage": usage()}))
    async with upstream:
        key = await asyncio.to_thread(set_up, two, upstream.url)
        async with httpx.AsyncClient(headers={"x-api-key": key}, timeout=60) as http:
            assert await ask_in_turn(http, two, 12) == [200] * 12
            upstream.default = replace(answer, begins_after=(may_answer := asyncio.Event()))
            late = asyncio.ensure_future(ask_in_turn(http, two, 3))
            await until(lambda: len(upstream.requests) == 15)
            await empty_redis(two[0])
            may_answer.set()
            assert await late == [200] * 3

            answers = await ask_in_turn(http, two, 60)
            assert sorted(set(answers)) == [200, 429]
            assert answers.count(200) == 5  # of USD 10, 15 times 0.5 were spent
            assert len(upstream.requests) == 20

            http.headers["x-api-key"] = await asyncio.to_thread(make_other_key, two[1])
            assert (await ask_in_turn(http, two, 8)).count(200) == 3
            await empty_redis(two[0])  # a minute's requests begin anew, and are limited as before
            assert (await ask_in_turn(http, two, 8)).count(200) == 3


async def test_a_providers_places_come_back_from_a_gateway_that_was_killed_and_after_redis_was_emptied(
    two: list[GatewayProcess],
):
    answer = json_answer({**chat_answer("Hi"), "usage": usage()})
    upstream = FakeUpstream(answer)
    async with upstream:
        key = await asyncio.to_thread(set_up, two, upstream.url)
        await asyncio.to_thread(run, two[0], PLACES)
        await asyncio.sleep(1)  # configuration is read four times a second
        async with httpx.AsyncClient(headers={"x-api-key": key}, timeout=60) as http:
            upstream.default = replace(answer, begins_after=(is_over := asyncio.Event()))
            doomed = [asyncio.ensure_future(ask(http, two[0])) for _ in range(2)]
            await until(lambda: len(upstream.requests) == 2)
            assert await ask(http, two[1]) == BUSY
            await asyncio.to_thread(two[0].kill)
            await asyncio.gather(*doomed, return_exceptions=True)
            is_over.set()
            await until(lambda: upstream.under_way == 0)
            upstream.default = answer
            assert await ask(http, two[1]) == BUSY  # nobody knows yet that they are free

            assert await leases_end(two[1], within_s=60) == 2
            assert await ask_in_turn(http, two[1:], 2) == [200] * 2

            upstream.default = replace(answer, begins_after=(may_answer := asyncio.Event()))
            seen = len(upstream.requests)
            under_way = [asyncio.ensure_future(ask(http, two[1])) for _ in range(2)]
            await until(lambda: len(upstream.requests) == seen + 2)
            await empty_redis(two[1])
            may_answer.set()
            assert await asyncio.gather(*under_way) == [200, 200]
            upstream.under_way_most = 0
            answers = await asyncio.gather(*(ask(http, two[1]) for _ in range(6)))
            assert set(answers) <= {200, BUSY}
            assert answers.count(200) >= 2
            assert upstream.under_way_most <= 2


BUSY = 503
PLACES = (
    "from routing.models import Provider\n"
    "row = Provider.objects.get(slug='openrouter')\n"
    "row.concurrent_max, row.queue_max, row.queue_wait_s = 2, 0, 1\n"
    "row.save()"
)


async def ask(http: httpx.AsyncClient, gateway: GatewayProcess) -> int:
    return (await http.post(f"{gateway.url}/v1/chat/completions", json=ASK)).status_code


async def ask_in_turn(
    http: httpx.AsyncClient, gateways: list[GatewayProcess], count: int
) -> list[int]:
    """All at once, at the gateways in turn; the statuses."""
    asked = (ask(http, gateways[number % len(gateways)]) for number in range(count))
    return list(await asyncio.gather(*asked))


def own_keys(gateway: GatewayProcess) -> str:
    return f"{gateway.environment['GATEWAY_REDIS_PREFIX']}*"


async def empty_redis(gateway: GatewayProcess) -> None:
    """Take all away that the gateways have there: others use the same Redis."""
    async with Redis.from_url(REDIS_URL) as redis:
        names = [name async for name in redis.scan_iter(own_keys(gateway))]
        assert names
        await redis.delete(*names)


async def leases_end(gateway: GatewayProcess, *, within_s: float) -> int:
    """Let so much time pass for the places that are taken, of which each must end by then; how many there were."""
    async with Redis.from_url(REDIS_URL) as redis:
        now_s = (await redis.time())[0]
        (name,) = [key async for key in redis.scan_iter(f"{own_keys(gateway)}:provider:*:running")]
        places = await redis.zrange(name, 0, -1, withscores=True)
        assert all(now_s < until_s <= now_s + within_s + 1 for _place, until_s in places)
        await redis.zadd(name, {place: until_s - within_s - 2 for place, until_s in places})
        return len(places)


def usage() -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def set_up(two: list[GatewayProcess], upstream_url: str) -> str:
    key = two[0].set_up(upstream_url)
    run(
        two[0],
        "from datetime import UTC, datetime\n"
        "from decimal import Decimal\n"
        "from accounting.models import Budget, Price, Team\n"
        "Price.objects.create(provider='openrouter', upstream_model='gpt-5', prompt_usd_per_mtok=0,"
        " completion_usd_per_mtok=0, request_usd=Decimal('0.5'),"
        " valid_from_at=datetime(2026, 1, 1, tzinfo=UTC), source='test')\n"
        "Budget.objects.create(team=Team.objects.get(slug='alder'), amount_usd=Decimal(10))",
    )
    for gateway in two:
        gateway.start()
    return key


def make_other_key(gateway: GatewayProcess) -> str:
    run(
        gateway,
        "from accounting.models import Team\nTeam.objects.create(slug='birch', requests_per_minute=3)",
    )
    return gateway.manage("create_key", "--team", "birch", "--name", "ci").strip()


async def status_once_known(http: httpx.AsyncClient, gateway: GatewayProcess) -> int:
    """The status of a request, asked again while the gateway has not read the key, which counts nowhere."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        answer = await http.post(f"{gateway.url}/v1/chat/completions", json=ASK)
        if answer.status_code != 401 or time.monotonic() > give_up_at:
            return answer.status_code
        await asyncio.sleep(0.05)


def run(gateway: GatewayProcess, program: str) -> None:
    gateway.manage("shell", "--no-imports", "-c", program)
