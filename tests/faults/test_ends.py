"""The process ends in the middle of 100 streams: told to, or killed."""

import asyncio
import contextlib
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.faults.ground import MEMORY_KB_MAX, PATHS, Ground, Installed, Told

STREAMS = 100
GRACE_S = 8


async def under_way(
    ground: Ground, http: httpx.AsyncClient, *models: str
) -> list[asyncio.Task[Told]]:
    """So many streams, of all models and both dialects in turn, each of which has had content."""
    reached = asyncio.Semaphore(0)

    def ask(number: int) -> asyncio.Task[Told]:
        has_begun: list[bool] = []

        def heard(piece: bytes) -> None:
            if b"Once " in piece and not has_begun:
                has_begun.append(True)
                reached.release()

        model, path = models[number % len(models)], PATHS[number // 2 % 2]
        return asyncio.ensure_future(ground.ask(http, model, path=path, heard=heard))

    tasks = [ask(number) for number in range(STREAMS)]
    async with asyncio.timeout(60):
        for _ in tasks:
            await reached.acquire()
    return tasks


async def grown_most_kb(ground: Ground) -> int:
    """How much more the process ever held than when it was warm, until it has ended."""
    most = 0
    while ground.gateway.is_running:
        with contextlib.suppress(OSError, IndexError):  # it ends while it is looked at
            most = max(most, ground.grown_kb())
        await asyncio.sleep(0.1)
    return most


async def test_a_stop_refuses_new_requests_and_lets_the_others_finish_for_a_while(
    installed: Installed, tmp_path: Path
):
    """Half of them end by themselves within the grace; the others never would, and are ended properly after it."""
    grace = {"GATEWAY_SHUTDOWN_GRACE_S": str(GRACE_S)}
    with installed.ground(tmp_path / "data", **grace) as ground:
        await ground.warm_up()
        warm = len(ground.upstream.requests)
        async with ground.client() as http, ground.client() as late:
            tasks = await under_way(ground, http, "chat/slow", "chat/never-ends")
            unanswered = asyncio.ensure_future(ground.ask_in_all_ways("chat/stalls-before"))
            async with asyncio.timeout(60):
                while len(ground.upstream.requests) < warm + STREAMS + 4:  # noqa: ASYNC110  (it tells nobody)
                    await asyncio.sleep(0.02)
            ground.gateway.signal(signal.SIGTERM)
            growing = asyncio.ensure_future(grown_most_kb(ground))
            await asyncio.sleep(0.5)
            with pytest.raises(httpx.TransportError):
                await late.post("/v1/messages", json={})
            all_told = await asyncio.gather(*tasks)
            assert await asyncio.to_thread(ground.gateway.wait, GRACE_S + 20) == 0
            assert await growing < MEMORY_KB_MAX

        for told in all_told:
            told.check_end()
        for told in await unanswered:
            told.check_end()
            assert told.status in {503, 529}
            assert "GATEWAY_SHUTDOWN_GRACE_S" in told.error["message"]
        rows = await ground.rows()
        assert Counter((row["alias"], row["status"]) for row in rows) == {
            ("chat/sound", "succeeded"): warm // 2,
            ("native/sound", "succeeded"): warm // 2,
            ("chat/slow", "succeeded"): 50,
            ("chat/never-ends", "interrupted"): 50,
            ("chat/stalls-before", "interrupted"): 4,
        }
        ground.check_secrets()
        ground.check_stopped()


async def test_a_kill_loses_and_doubles_no_record_and_the_next_start_books_them(
    installed: Installed, tmp_path: Path
):
    with installed.ground(tmp_path / "data") as ground:
        async with ground.client() as http:
            tasks = await under_way(ground, http, "chat/never-ends")
            ground.gateway.kill()
            await asyncio.gather(*tasks)
            assert ground.gateway.records() == []

        await asyncio.to_thread(ground.gateway.start)
        await ground.warm_up()
        rows = await ground.check()
        assert Counter(row["error"] for row in rows)["ProcessKilled"] == STREAMS
        await asyncio.to_thread(ground.gateway.stop)
        ground.check_stopped()
