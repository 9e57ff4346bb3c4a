"""A look at the database that all share, and nobody waits for."""

import asyncio
import threading
import time

import pytest
from django.db import DatabaseError

from llmgateway.looks import SharedLook
from tests.waiting import PATIENCE_S, until


class Held:
    """A look that takes until it may end."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = threading.Event()
        self.error: Exception | None = None

    def __call__(self) -> str:
        self.count += 1
        assert self.may_end.wait(PATIENCE_S)
        if self.error:
            raise self.error
        return f"look {self.count}"


async def test_all_who_ask_at_once_share_one_look_in_a_thread_that_holds_up_nothing():
    held = Held()
    look = SharedLook(held, wait_s=PATIENCE_S)
    asking = [asyncio.ensure_future(look.result()) for _ in range(50)]
    await until(lambda: held.count == 1)
    threads = [thread for thread in threading.enumerate() if thread.name == "look"]
    assert [thread.daemon for thread in threads] == [True]

    held.may_end.set()

    assert set(await asyncio.gather(*asking)) == {"look 1"}
    assert await look.result() == "look 2"


async def test_a_look_that_takes_too_long_is_told_and_goes_on_for_those_who_ask_next():
    held = Held()
    look = SharedLook(held, wait_s=0.1)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await look.result()
    assert held.count == 1
    assert look.asked_for_s() >= 0.3

    asking = asyncio.ensure_future(look.result())
    await asyncio.sleep(0)  # it has begun to wait
    held.may_end.set()
    assert await asking == "look 1"
    assert await look.result() == "look 2"
    assert look.asked_for_s() == 0


async def test_what_goes_wrong_is_told_to_all_who_asked():
    held = Held()
    held.error = DatabaseError("away")
    held.may_end.set()
    look = SharedLook(held, wait_s=PATIENCE_S)
    told = await asyncio.gather(look.result(), look.result(), return_exceptions=True)
    assert [type(error) for error in told] == [DatabaseError, DatabaseError]


async def test_the_time_without_an_answer_goes_on_over_several_looks():
    slow_s = 0.2

    def give_up() -> None:
        time.sleep(slow_s)
        raise DatabaseError("given up")

    look = SharedLook(give_up, wait_s=0.1)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await look.result()
        await asyncio.sleep(slow_s)
    assert look.asked_for_s() >= 2 * slow_s
