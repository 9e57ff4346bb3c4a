"""The three clocks of one attempt."""

import asyncio
import time

import pytest

from routing.pictures import Timeouts
from routing.upstream.errors import FirstByteTimeout, IdleTimeout, TotalTimeout
from routing.upstream.patience import Patience


def limits(*, first_byte_s: float = 60, idle_s: float = 60, total_s: float = 60) -> Timeouts:
    return Timeouts(connect_s=60, first_byte_s=first_byte_s, idle_s=idle_s, total_s=total_s)


async def answer_after(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "answer"


async def hear_for_ever(patience: Patience) -> None:
    while True:
        await patience.wait_for(answer_after(0.02))
        patience.heard()


async def test_a_step_that_is_quick_enough_gives_its_result():
    with Patience(limits()) as patience:
        assert await patience.wait_for(answer_after(0.01)) == "answer"


async def test_a_first_byte_that_does_not_come_is_told_with_its_setting():
    with Patience(limits(first_byte_s=0.05)) as patience:
        began = time.monotonic()
        with pytest.raises(FirstByteTimeout, match=r"first_byte_timeout_s is 0\.05 s") as caught:
            await patience.wait_for(answer_after(60))
    assert 0.04 < time.monotonic() - began < 30
    assert caught.value.may_retry
    assert caught.value.may_fall_back


async def test_silence_between_two_pieces_is_told_with_its_setting():
    with Patience(limits(idle_s=0.05)) as patience:
        await patience.wait_for(answer_after(0.01))
        patience.heard()
        with pytest.raises(IdleTimeout, match=r"idle_timeout_s is 0\.05 s"):
            await patience.wait_for(answer_after(60))


async def test_pieces_that_keep_coming_are_not_silence(loop_clock):
    with Patience(limits(first_byte_s=20, idle_s=20)) as patience:
        for passed_s in range(0, 50, 10):
            piece = asyncio.Event()
            waiting = asyncio.ensure_future(patience.wait_for(piece.wait()))
            await asyncio.sleep(0)
            loop_clock.passed_s = passed_s
            await asyncio.sleep(0)  # whatever is due by then is done
            piece.set()
            await waiting
            patience.heard()


async def test_the_whole_attempt_has_a_limit_however_much_comes():
    with Patience(limits(total_s=0.15)) as patience:
        began = time.monotonic()
        with pytest.raises(TotalTimeout, match=r"total_timeout_s is 0\.15 s") as caught:
            await hear_for_ever(patience)
    assert time.monotonic() - began < 30
    assert not caught.value.may_retry


async def test_the_limit_of_the_whole_counts_before_the_first_byte_too():
    with Patience(limits(total_s=0.05)) as patience, pytest.raises(TotalTimeout):
        await patience.wait_for(answer_after(60))


async def test_time_spent_elsewhere_is_no_silence_of_the_upstream():
    """A slow client: the task writes for longer than the upstream may be silent."""
    with Patience(limits(idle_s=0.15)) as patience:
        await patience.wait_for(answer_after(0))
        patience.heard()
        await asyncio.sleep(0.4)

        assert await patience.wait_for(answer_after(0)) == "answer"
        patience.heard()
        with pytest.raises(IdleTimeout):
            await patience.wait_for(answer_after(60))


async def test_a_cancel_from_elsewhere_goes_on():
    patience = Patience(limits())
    task = asyncio.ensure_future(patience.wait_for(answer_after(60)))
    await asyncio.sleep(0.02)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    patience.stop()


async def test_a_cancel_in_the_same_moment_as_the_clock_goes_on():
    patience = Patience(limits(first_byte_s=1))
    task = asyncio.ensure_future(patience.wait_for(answer_after(60)))
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    # The loop sleeps past the limit in one piece, so that both cancels are there before the task runs again.
    loop.call_soon(time.sleep, 1.1)
    loop.call_later(0.001, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task
    patience.stop()


async def test_a_task_whose_clock_ran_out_can_go_on_working():
    """The fallback to the next target runs in the same task: it must not count as cancelled."""
    with Patience(limits(first_byte_s=0.03)) as patience, pytest.raises(FirstByteTimeout):
        await patience.wait_for(answer_after(60))

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(60):
        assert await answer_after(0.01) == "answer"


async def test_an_error_of_the_step_passes():
    async def fail() -> None:
        raise OSError("broken")

    with Patience(limits()) as patience, pytest.raises(OSError, match="broken"):
        await patience.wait_for(fail())


async def test_after_the_end_nothing_fires():
    patience = Patience(limits(first_byte_s=0.03))
    patience.stop()

    assert await patience.wait_for(answer_after(0.1)) == "answer"
