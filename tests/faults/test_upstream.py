"""Upstreams that refuse, reset, stall, drip, send garbage, never end, fail in storms, or show a bad certificate."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.faults.ground import HURRIED, Ground, Installed

LATE_S = HURRIED["total_s"] + 4


@pytest.fixture(scope="module")
def shared(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One gateway for all of these: each test looks at all of its books."""
    with installed.ground(tmp_path_factory.mktemp("upstream") / "data") as ground:
        yield ground
        ground.gateway.stop()
        ground.check_stopped()
        ground.gateway.manage("roll_up_usage", "--verify")  # the daily sums equal the records


@pytest.fixture
async def ground(shared: Ground) -> AsyncIterator[Ground]:
    if not shared.told:
        await shared.warm_up()
    return shared


# A fault: the statuses that clients may get, and the errors that may be booked.
BEFORE = {
    "hasty-chat/resets-before": ({502}, {"UpstreamDisconnected"}),
    "hasty-native/stalls-before": ({504}, {"FirstByteTimeout"}),
    "hasty-chat/is-garbage": ({502}, {"UpstreamInvalid", "UpstreamStreamCut"}),
    "hasty-native/is-garbage": ({502}, {"UpstreamInvalid", "UpstreamStreamCut"}),
    "hasty-chat/is-no-http": ({502}, {"UpstreamDisconnected"}),
    "hasty-chat/is-500": ({500, 502}, {"UpstreamBroken"}),
    "refuses/sound": ({502}, {"UpstreamUnreachable"}),
    "tls-expired/sound": ({502}, {"UpstreamTlsFailed"}),
    "tls-of-another-host/sound": ({502}, {"UpstreamTlsFailed"}),
    "tls-self-signed/sound": ({502}, {"UpstreamTlsFailed"}),
    "tls-with-none/sound": (
        {502, 504},
        {"UpstreamTlsFailed", "FirstByteTimeout", "ConnectTimeout"},
    ),
}


@pytest.mark.parametrize("fault", BEFORE)
async def test_a_failure_before_the_first_word_is_a_status(ground: Ground, fault: str):
    statuses, errors = BEFORE[fault]
    all_told = await ground.ask_in_all_ways(fault, count=5)

    for told in all_told:
        told.check_end()
        assert told.status in statuses, told
        assert told.error
        assert told.took_s < LATE_S
    rows = await ground.check()
    booked = [row for row in rows if row["request_id"] in {told.id for told in all_told}]
    assert len(booked) == len(all_told)
    assert {row["error"] for row in booked} <= errors
    assert {row["status"] for row in booked} == {"failed"}


async def test_a_certificate_of_the_providers_own_authority_is_accepted(ground: Ground):
    for told in await ground.ask_in_all_ways("tls-sound/sound"):
        told.check_end()
        assert told.status == 200
        assert not told.error
    await ground.check()


AMID = {
    "resets": {"UpstreamDisconnected", "UpstreamStreamCut"},
    "cuts": {"UpstreamDisconnected", "UpstreamStreamCut"},
    "stalls": {"IdleTimeout"},
    "drips": {"TotalTimeout"},
    "turns-to-garbage": {"UpstreamInvalid", "UpstreamStreamCut"},
    "never-ends": {"TotalTimeout", "UpstreamAnswerTooLarge"},
    "has-one-endless-event": {"UpstreamInvalid", "UpstreamAnswerTooLarge", "TotalTimeout"},
}


@pytest.mark.parametrize("fault", AMID)
async def test_a_failure_in_the_middle_ends_a_stream_with_an_error_event(
    ground: Ground, fault: str
):
    all_told = await ground.ask_in_all_ways(f"hasty-chat/{fault}", f"hasty-native/{fault}")

    for told in all_told:
        told.check_end()
        assert told.status in ({200, 502} if told.is_stream else {502, 504}), told
        assert told.error
        assert told.took_s < LATE_S
        assert told.status != 200 or b"Once " in told.body
    rows = await ground.check()
    booked = [row for row in rows if row["request_id"] in {told.id for told in all_told}]
    assert len(booked) == len(all_told)
    assert {row["error"] for row in booked} <= AMID[fault]
    assert {row["status"] for row in booked} == {"failed"}


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_storm_of_refusals_is_repeated_and_booked_each_time(ground: Ground, status: int):
    all_told = await ground.ask_in_all_ways(f"stormy/is-{status}+{status}", count=25)

    for told in all_told:
        told.check_end()
        assert told.error
        assert told.took_s < 15
    rows = await ground.check()
    booked = [row for row in rows if row["request_id"] in {told.id for told in all_told}]
    assert len(booked) == 3 * len(all_told)  # asked once, and repeated twice
    assert {row["upstream_status"] for row in booked} == {status}


async def test_a_storm_is_gone_past_to_the_next_target_and_the_first_comes_back(ground: Ground):
    """Its deployment is skipped after five failures, for half a second first."""
    asked = len(ground.upstream.requests)
    all_told = await ground.ask_in_all_ways("sheltered", count=25)

    assert {(told.status, bool(told.error)) for told in all_told} == {(200, False)}
    storm = [request for request in ground.upstream.requests[asked:] if b"is-503" in request.body]
    assert 5 <= len(storm) <= 100
    await ground.check()
