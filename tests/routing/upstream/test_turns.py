"""Turns at a provider with a limit, in one process; over several see tests/llmgateway/test_provider_places.py."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from routing.errors import ProviderBusy
from routing.upstream.turns import Turn, Turns
from tests.factories.pictures import picture_provider

Asking = asyncio.Future[Turn]
Ask = Callable[..., Awaitable[list[Asking]]]


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def ask(turns: Turns) -> AsyncIterator[Ask]:
    """So many requests for a turn, each as far as it gets: ``await ask(3, most=1)``."""
    begun: list[Asking] = []

    async def begin(count: int, *, most: int, queue_max: int = 100) -> list[Asking]:
        provider = picture_provider(
            "http://x", concurrent_max=most, queue_max=queue_max, queue_wait_s=60.0
        )
        asking = [asyncio.ensure_future(turns.take(provider)) for _ in range(count)]
        begun.extend(asking)
        await settled()
        return asking

    yield begin
    for each in begun:
        each.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def counts(turns: Turns) -> tuple[int, int]:
    return turns.running, turns.waiting


async def test_turns_are_given_in_order_and_no_more_than_there_are(turns, ask):
    first, second, third = await ask(3, most=2)
    assert (first.done(), second.done(), third.done()) == (True, True, False)

    second.result().give_back()
    await settled()
    assert third.done()
    assert counts(turns) == (2, 0)


async def test_a_limit_that_is_raised_lets_in_those_who_wait_already(turns, ask):
    await ask(4, most=1)
    assert counts(turns) == (1, 3)

    await ask(2, most=5)
    assert counts(turns) == (5, 1)


async def test_a_limit_that_is_raised_makes_room_in_a_queue_that_is_full(turns, ask):
    await ask(3, most=1, queue_max=2)
    (late,) = await ask(1, most=3, queue_max=2)

    assert not late.done()
    assert counts(turns) == (3, 1)


async def test_a_limit_that_is_lowered_holds_although_others_wait(turns, ask):
    running = [each.result() for each in await ask(4, most=4)]
    await ask(2, most=1)
    for turn in running[:3]:
        turn.give_back()
    await settled()
    assert counts(turns) == (1, 2)

    running[3].give_back()
    await settled()
    assert counts(turns) == (1, 1)


async def test_who_leaves_the_queue_gets_no_turn(turns, ask):
    running, leaving, staying = await ask(3, most=1)
    leaving.cancel()
    running.result().give_back()
    await settled()

    assert staying.done()
    assert counts(turns) == (1, 0)


async def test_a_turn_that_comes_while_its_request_leaves_goes_to_the_next(turns, ask):
    running, leaving, staying = await ask(3, most=1)
    running.result().give_back()
    leaving.cancel()
    await settled()

    assert staying.done()
    assert counts(turns) == (1, 0)


async def test_a_full_queue_is_told(turns, ask):
    *_, refused = await ask(4, most=1, queue_max=2)

    with pytest.raises(ProviderBusy, match="1 requests under way and 2 waiting"):
        refused.result()
