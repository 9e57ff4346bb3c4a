"""A provider's concurrent requests, counted over several processes: each has a TurnBook of its own on one Redis."""

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from conversion.dialects import Dialect
from llmgateway import provider_places
from llmgateway.provider_places import SharedPlaces
from routing.errors import ProviderBusy
from routing.pictures import ProviderPicture, RetryPolicy, Timeouts
from routing.providers import openrouter
from routing.upstream.turns import Turn, TurnBook
from tests.services import REDIS_URL, needs_redis
from tests.waiting import PATIENCE_S, until

pytestmark = needs_redis
PROVIDER = ProviderPicture(
    pk=7,
    slug="openrouter",
    kind=openrouter.KIND,
    base_url="",
    timeouts=Timeouts(1, 1, 1, 1),
    retries=RetryPolicy(0, 1, 1, frozenset(), network_errors=False),
    verify_tls=True,
    ca_bundle_pem="",
    credentials=(),
    dialect=Dialect.OPENAI_CHAT,
    concurrent_max=3,
    queue_max=100,
    queue_wait_s=PATIENCE_S,
)
MakeBook = Callable[..., TurnBook]


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A busy machine is no Redis that is away."""
    monkeypatch.setattr(provider_places, "REDIS_WAIT_S", PATIENCE_S)


@pytest.fixture
async def places() -> AsyncIterator[Callable[..., SharedPlaces]]:
    prefix, made = f"test-{secrets.token_hex(6)}", []

    def make(url: str = REDIS_URL, **options: object) -> SharedPlaces:
        made.append(SharedPlaces(url, prefix=prefix, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_place_that_is_asked_for_again_because_the_answer_was_lost_is_its_own(places):
    shared = places()
    for place, is_taken in (("one", 1), ("one", 1), ("other", 0)):
        asked = shared._take(keys=[shared._key(7)], args=[place, 60, 1])
        assert await asked == is_taken


async def test_no_more_are_under_way_than_the_limit_however_many_processes_ask(places):
    books = [TurnBook(places()) for _ in range(3)]
    under_way = most = done = 0

    async def ask(number: int) -> None:
        nonlocal under_way, most, done
        turn = await books[number % 3].take(PROVIDER)
        assert turn is not None
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        done += 1
        turn.give_back()

    await asyncio.gather(*(ask(number) for number in range(30)))

    assert (most, done) == (3, 30)
    assert [book.state() for book in books] == [{7: (0, 0)}] * 3


async def test_who_waits_for_a_place_elsewhere_is_counted_as_waiting(places):
    first, second = TurnBook(places()), TurnBook(places())
    held = [await first.take(PROVIDER) for _ in range(3)]
    short = dataclasses.replace(PROVIDER, queue_max=1, queue_wait_s=PATIENCE_S)

    waiting = asyncio.ensure_future(second.take(short))
    await until(lambda: second.state() == {7: (0, 1)})
    with pytest.raises(ProviderBusy, match="and 1 waiting"):
        await second.take(short)

    give_back(held[0])
    give_back(await waiting)
    assert second.state() == {7: (0, 0)}


async def test_the_wait_for_a_place_ends_and_its_turn_is_given_back(places):
    first, second = TurnBook(places()), TurnBook(places())
    for _ in range(3):
        await first.take(PROVIDER)

    with pytest.raises(ProviderBusy, match="longest wait for a turn"):
        await second.take(dataclasses.replace(PROVIDER, queue_wait_s=0.1))

    assert second.state() == {7: (0, 0)}


async def test_what_a_killed_process_held_comes_back(places):
    dead = TurnBook(places(lease_s=0.5))
    for _ in range(3):
        await dead.take(PROVIDER)  # and nobody renews them

    assert await TurnBook(places()).take(PROVIDER) is not None


async def test_a_long_request_keeps_its_place(places):
    mine = places(lease_s=3)
    book = TurnBook(mine)
    held = [await book.take(PROVIDER) for _ in range(3)]
    for _ in range(35):
        mine.tick()
        await asyncio.sleep(0.1)

    other = TurnBook(places())
    with pytest.raises(ProviderBusy):
        await other.take(dataclasses.replace(PROVIDER, queue_wait_s=0.1))
    give_back(held[0])
    assert await other.take(PROVIDER) is not None


async def test_a_client_that_leaves_while_redis_is_asked_keeps_no_place(places):
    book = TurnBook(places())
    asking = [asyncio.ensure_future(book.take(PROVIDER)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)

    assert book.state() == {7: (0, 0)}
    other = TurnBook(places())
    for _ in range(3):
        assert await other.take(PROVIDER) is not None


async def test_without_redis_each_process_counts_for_itself(places, caplog):
    book = TurnBook(places("redis://127.0.0.1:1/0"))
    held = [await book.take(PROVIDER) for _ in range(3)]
    with pytest.raises(ProviderBusy):
        await book.take(dataclasses.replace(PROVIDER, queue_wait_s=0.1))

    give_back(held[0])
    assert await book.take(PROVIDER) is not None
    assert "cannot be counted together" in caplog.text


async def test_without_redis_nothing_is_sent_where_that_is_the_policy(places):
    book = TurnBook(places("redis://127.0.0.1:1/0", policy="refuse"))
    for _ in range(2):
        with pytest.raises(ProviderBusy, match="GATEWAY_REDIS_OUTAGE"):
            await book.take(PROVIDER)
    assert book.state() == {7: (0, 0)}


async def test_a_place_that_could_not_be_given_back_is_when_redis_is_there_again(
    places, monkeypatch
):
    monkeypatch.setattr(provider_places, "AWAY_S", 0.05)
    mine = places()
    book = TurnBook(mine)
    held = [await book.take(PROVIDER) for _ in range(3)]
    zrem = mine._redis.zrem

    async def fails(*_words: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(mine._redis, "zrem", fails)
    give_back(held[0])
    await asyncio.sleep(0.1)
    monkeypatch.setattr(mine._redis, "zrem", zrem)
    mine.tick()

    assert await TurnBook(places()).take(PROVIDER) is not None


async def test_a_provider_without_a_limit_is_not_counted(places):
    book = TurnBook(places("redis://127.0.0.1:1/0", policy="refuse"))

    assert await book.take(dataclasses.replace(PROVIDER, concurrent_max=0)) is None


def give_back(turn: Turn | None) -> None:
    assert turn is not None
    turn.give_back()
