"""The machine's clock jumps in the middle of everything: a day ahead, and two days back."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.ground import Installed

FOLDER = Path(__file__).parent / "clock"
DAY_S = 24 * 3600
EDIT = """
from routing.models import HeaderRule, Provider
HeaderRule.objects.create(action="force", name="X-Edit", value="after the jump")
provider = Provider.objects.first()
provider.save(update_fields=["updated_at"])
print(provider.updated_at.date())
"""
"""An edit, and the day on which it was made by the clock that Django asks."""


def shown_on(jump_s: int) -> str:
    """The day that a clock shows now which has jumped so far."""
    return str((datetime.now(UTC) + timedelta(seconds=jump_s)).date())


@pytest.mark.parametrize("jump_s", [DAY_S, -2 * DAY_S], ids=["ahead", "back"])
async def test_a_jump_of_the_clock_loses_and_doubles_nothing_and_times_stay_true(
    installed: Installed, tmp_path: Path, jump_s: int
):
    clock = tmp_path / "clock"
    clock.write_text("0")
    shifted = {"PYTHONPATH": str(FOLDER), "GATEWAY_TEST_CLOCK": str(clock)}
    with installed.ground(tmp_path / "data", **shifted) as ground:
        await ground.warm_up()
        before = {row["id"] for row in ground.gateway.records()}
        asked = len(ground.upstream.requests)
        across = asyncio.ensure_future(ground.ask_in_all_ways("chat/slow", "hasty-chat/stalls"))
        async with asyncio.timeout(60):
            while len(ground.upstream.requests) < asked + 8:  # noqa: ASYNC110  (it tells nobody)
                await asyncio.sleep(0.01)
        (tmp_path / "new").write_text(str(jump_s))
        (tmp_path / "new").replace(clock)

        after = await ground.ask_in_all_ways("chat/sound", "native/sound", count=5)
        for told in [*await across, *after]:
            told.check_end()
            assert told.took_s < 60
        assert {told.status for told in after} == {200}
        shown = {shown_on(jump_s)}
        edited_on = await asyncio.to_thread(
            ground.gateway.manage, "shell", "--no-imports", "-c", EDIT
        )
        async with asyncio.timeout(60), ground.client() as http:
            while ground.upstream.requests[-1].headers.get("x-edit") != "after the jump":
                await ground.ask(http, "chat/sound", stream=False)
        assert edited_on.strip() in {*shown, shown_on(jump_s)}  # midnight may have passed

        rows = await ground.check()
        new = [row for row in rows if row["id"] not in before]
        days = {row["started_at"][:10] for row in new}
        assert len(days) == 2  # those from before the jump, and those from after it
        for row in new:
            assert 0 <= row["duration_ms"] < 60_000
            assert row["ttft_ms"] is None or 0 <= row["ttft_ms"] <= row["duration_ms"] + 1000
        stalled = [row for row in new if row["upstream_model"] == "stalls"]
        assert {row["error"] for row in stalled} == {"IdleTimeout"}
        ground.gateway.stop()
        ground.check_stopped()
