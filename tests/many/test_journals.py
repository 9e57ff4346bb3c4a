"""Each gateway has a journal of its own: what a killed one had under way is booked when it is back, once and no more."""

import asyncio
from collections import Counter

from tests.fakes.upstream import FakeUpstream, chunk, stream_answer
from tests.llmgateway.test_processes import streams_under_way
from tests.many.conftest import Two
from tests.waiting import until

STREAMS = 25
SLOW = stream_answer([chunk({"content": f"word{number} "}) for number in range(3000)], pause_s=0.05)


async def test_what_each_had_under_way_when_both_were_killed_is_booked_once(
    two: Two, upstream: FakeUpstream
):
    """The first to come back books its own, while the other's are still in that one's journal."""
    key = await two.make_team()
    before = {row["id"] for row in two[0].records()}
    upstream.default = SLOW
    ids: list[set[str]] = []
    begun = [await streams_under_way(gateway, key, STREAMS, model="gpt-5") for gateway in two]
    for gateway in two:
        gateway.kill()
    for http, tasks in begun:
        ids.append(set(await asyncio.gather(*tasks)))
        await http.aclose()

    def booked() -> list[dict]:
        return [row for row in two[1].records() if row["id"] not in before]

    assert booked() == []
    await asyncio.to_thread(two[0].start)
    await until(lambda: len(booked()) == STREAMS)
    assert {row["request_id"] for row in booked()} == ids[0]
    await asyncio.to_thread(two[1].start)
    await until(lambda: len(booked()) == 2 * STREAMS)
    for gateway in two:  # a second replay books nothing twice
        gateway.kill()
        await asyncio.to_thread(gateway.start)

    assert Counter(row["request_id"] for row in booked()) == Counter([*ids[0], *ids[1]])
    assert {(row["status"], row["error"]) for row in booked()} == {("interrupted", "ProcessKilled")}
    await asyncio.to_thread(two[0].manage, "roll_up_usage", "--verify")
