"""Two gateways on one database and one Redis, as two workers or two machines are: each test here on SQLite and PostgreSQL."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from tests.fakes.upstream import FakeUpstream, chat_answer, json_answer
from tests.processes import GatewayProcess, free_port
from tests.services import POSTGRES_URL, REDIS_URL, a_database, needs_postgres, needs_redis
from tests.waiting import PATIENCE_S

SECRET = "sk-or-many"
REQUEST_USD = "0.5"
"""What each request costs that is answered, whatever it says."""
BUSY = 503


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them start processes, and take their time."""
    for item in items:
        if "tests/many/" in str(item.path):
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.timeout(600))


class Gateway(GatewayProcess):
    """One of the two."""

    def run(self, program: str) -> list[str]:
        """The lines that a program prints, run in Django beside the gateway."""
        words = ("shell", "--no-imports", "-c", program)
        return self.manage(*words, UPSTREAM_SECRET=SECRET).splitlines()


class Two:
    """Both gateways, what they share, and how to ask them."""

    def __init__(self, gateways: list[Gateway], upstream_port: int) -> None:
        self.gateways = gateways
        self.upstream_port = upstream_port

    def __iter__(self) -> Iterator[Gateway]:
        return iter(self.gateways)

    def __getitem__(self, number: int) -> Gateway:
        return self.gateways[number]

    async def make_team(self, *, requests_per_minute: int = 0, budget_usd: int = 0) -> str:
        """A key of a team of its own, once both know it."""
        slug = f"team-{secrets.token_hex(4)}"
        program = TEAM.format(slug=slug, limit=requests_per_minute or None, usd=budget_usd)
        key = (await asyncio.to_thread(self[0].run, program))[-1]
        await asyncio.to_thread(wait_for, self, lambda gateway: models(gateway, key) == 200)
        return key

    @contextlib.asynccontextmanager
    async def client(self, key: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the key, and as many connections as it wants."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            headers={"x-api-key": key}, timeout=PATIENCE_S, limits=limits
        ) as http:
            yield http

    async def empty_redis(self) -> None:
        """Take all away that the two have there: others use the same Redis."""
        async with Redis.from_url(REDIS_URL) as redis:
            names = [name async for name in redis.scan_iter(self.names_in_redis)]
            assert names
            await redis.delete(*names)

    @property
    def names_in_redis(self) -> str:
        """A pattern of all names of theirs."""
        return f"{self[0].environment['GATEWAY_REDIS_PREFIX']}*"


TEAM = """
from accounting import keys
from accounting.models import Budget, Team
team = Team.objects.create(slug="{slug}", requests_per_minute={limit})
if {usd}:
    Budget.objects.create(team=team, amount_usd={usd})
print(keys.mint(team, "laptop").secret)
"""
INSTALL = """
from datetime import UTC, datetime
from decimal import Decimal
from django.contrib.auth.models import User
from django.core.management import call_command
from accounting.models import Price
call_command("migrate", verbosity=0)
call_command("import_config", {path!r})
for provider in ("openrouter", "narrow", "fragile"):
    Price.objects.create(
        provider=provider, upstream_model="gpt-5", prompt_usd_per_mtok=0, completion_usd_per_mtok=0,
        request_usd=Decimal({usd!r}), valid_from_at=datetime(2026, 1, 1, tzinfo=UTC), source="test",
    )
User.objects.create_superuser("eve", "eve@example.com", "eve")
"""


def configuration(upstream_url: str) -> dict[str, Any]:
    """A provider behind every name, one with two places and one that is skipped after two failures."""
    shared = {
        "kind": "openrouter",
        "base_url": upstream_url,
        "retries": {"max": 0},
        "credentials": [{"label": "main", "secret": "${UPSTREAM_SECRET}"}],
    }
    gpt = {"model": "gpt-5"}
    return {
        "version": 1,
        "providers": {
            "openrouter": shared,
            "narrow": {**shared, "concurrency": {"max": 2, "queue": 0, "wait_s": 1}},
            "fragile": {**shared, "cooldown": {"after": 2, "first_s": 600, "longest_s": 600}},
        },
        "aliases": {
            "gpt-5": {"match": "exact", "targets": [{"provider": "openrouter", **gpt}]},
            "narrow": {"match": "exact", "targets": [{"provider": "narrow", **gpt}]},
            "sheltered": {
                "match": "exact",
                "targets": [
                    {"provider": "fragile", "model": "breaks"},
                    {"provider": "openrouter", **gpt},
                ],
            },
            "edited": {"match": "exact", "targets": [{"provider": "openrouter", **gpt}]},
        },
    }


@pytest.fixture(
    scope="package",
    params=[
        pytest.param("sqlite", marks=[needs_redis]),
        pytest.param(
            "postgresql",
            marks=[needs_redis, needs_postgres],
        ),
    ],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Both, set up and started."""
    folder = tmp_path_factory.mktemp(request.param)
    with database_of(request.param, folder) as database:
        shared = {
            "DATABASE_URL": database,
            "REDIS_URL": REDIS_URL,
            "GATEWAY_REDIS_PREFIX": f"test-{secrets.token_hex(6)}",
            "GATEWAY_SECRET_KEY": secrets.token_hex(32),
            "GATEWAY_SEALING_KEYS": Fernet.generate_key().decode(),
        }
        gateways = []
        for name in ("one", "two"):
            (folder / name / "static").mkdir(parents=True)  # else it would be collected first
            gateways.append(Gateway(folder / name, **shared))
        two = Two(gateways, free_port())
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(configuration(f"http://127.0.0.1:{two.upstream_port}/api/v1")))  # fmt: skip
        gateways[0].run(INSTALL.format(path=str(path), usd=REQUEST_USD))
        try:
            yield two
            for gateway in gateways:
                if not gateway.is_running:
                    gateway.start()  # what one that was killed left behind is booked by the next
        finally:
            for gateway in gateways:
                gateway.stop()
        for gateway in gateways:
            assert list((gateway.data_dir / "journal").glob("*.jsonl")) == []


@contextlib.contextmanager
def database_of(kind: str, folder: Path) -> Iterator[str]:
    """The DATABASE_URL of one that is empty."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'shared.sqlite3'}"
        return
    with a_database() as name:
        yield f"{POSTGRES_URL}/{name}"


@pytest.fixture
def two(pair: Two) -> Two:
    """Both, running, whatever the test before did to them."""
    for gateway in pair:
        if not gateway.is_running:
            gateway.start()
    return pair


@pytest.fixture
async def upstream(pair: Two) -> AsyncIterator[FakeUpstream]:
    """What all of their providers are."""
    answer = json_answer({**chat_answer("Hi"), "usage": USAGE})
    async with FakeUpstream(answer, port=pair.upstream_port) as upstream:
        yield upstream


USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def body_of(model: str = "gpt-5", **more: Any) -> dict[str, Any]:
    """A request for a model."""
    said = [{"role": "user", "content": "Hi"}]
    return {"model": model, "max_tokens": 20, "messages": said, **more}


async def ask(http: httpx.AsyncClient, gateway: Gateway, model: str = "gpt-5") -> int:
    """The status of a request's answer."""
    url = f"{gateway.url}/v1/chat/completions"
    return (await http.post(url, json=body_of(model))).status_code


async def ask_in_turn(http: httpx.AsyncClient, two: Two, count: int) -> list[int]:
    """All at once, at the gateways in turn; the statuses."""
    return list(await asyncio.gather(*(ask(http, two[number % 2]) for number in range(count))))


def models(gateway: Gateway, key: str) -> int:
    """The status of a request that counts nowhere."""
    return httpx.get(
        f"{gateway.url}/v1/models", headers={"x-api-key": key}, timeout=PATIENCE_S
    ).status_code


def wait_for(two: Two, is_so: Callable[[Gateway], object]) -> float:
    """Seconds until it is so in both of them."""
    began = time.monotonic()
    while not all(is_so(gateway) for gateway in two):
        assert time.monotonic() - began < PATIENCE_S, "it never came to be so"
        time.sleep(0.01)
    return time.monotonic() - began
