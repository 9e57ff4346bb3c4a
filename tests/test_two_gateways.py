"""Two gateways on one PostgreSQL and one Redis, as two machines are: what limits, limits them together."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.fakes.upstream import FakeUpstream, chat_answer, json_answer
from tests.processes import GatewayProcess
from tests.services import REDIS_URL, needs_postgres, needs_redis
from tests.waiting import PATIENCE_S

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
