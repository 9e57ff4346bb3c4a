"""When what happened in a request: in milliseconds since it was accepted, on one scale."""

from datetime import UTC, datetime, timedelta

from accounting.models import UsageRecord
from accounting.request_timeline import WIDTH, timeline_of

ACCEPTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
ID = f"req_{int(ACCEPTED.timestamp() * 1000):012x}{7:016x}"


def attempt(began_ms: int, duration_ms: int | None, ttft_ms: int | None = None, request_id=ID):
    return UsageRecord(
        request_id=request_id,
        started_at=ACCEPTED + timedelta(milliseconds=began_ms),
        duration_ms=duration_ms,
        ttft_ms=ttft_ms,
    )


def parts(*attempts: UsageRecord) -> list[list[tuple[str, int, int]]]:
    return [
        [(span.kind, span.began_ms, span.ended_ms) for span in bar.spans]
        for bar in timeline_of(attempts).bars
    ]


def test_a_stream_waits_for_its_first_content_and_then_streams():
    assert parts(attempt(20, 1000, ttft_ms=320)) == [
        [("wait", 0, 20), ("first", 20, 320), ("stream", 320, 1020)]
    ]


def test_a_whole_answer_is_one_part():
    assert parts(attempt(0, 500)) == [[("answer", 0, 500)]]


def test_attempts_follow_each_other_with_the_wait_between_them():
    told = timeline_of([attempt(10, 100), attempt(400, 600, ttft_ms=700)])

    assert parts(attempt(10, 100), attempt(400, 600, ttft_ms=700)) == [
        [("wait", 0, 10), ("answer", 10, 110)],
        [("wait", 110, 400), ("first", 400, 700), ("stream", 700, 1000)],
    ]
    assert told.total_ms == 1000
    assert told.bars[1].words.startswith("waiting before the next attempt for 290 ms, then ")


def test_bars_share_a_scale_and_nothing_leaves_it():
    for bar in timeline_of([attempt(0, 1), attempt(1, 100_000), attempt(100_000, 1)]).bars:
        for span in bar.spans:
            assert span.width >= 3
            assert span.x >= 0
            assert span.x + span.width <= WIDTH


def test_an_attempt_that_was_killed_has_no_length():
    told = timeline_of([attempt(0, None)])

    assert told.total_ms == 0
    assert [(span.ms, span.width) for span in told.bars[0].spans] == [(0, 0)]


def test_a_time_to_the_first_content_that_fits_nowhere_is_left_out():
    assert parts(attempt(500, 100, ttft_ms=20)) == [[("wait", 0, 500), ("answer", 500, 600)]]


def test_an_id_that_tells_no_time_or_a_wrong_one_is_not_believed():
    for request_id in ("req_1", f"req_{0:028x}", f"req_{2**47:012x}{0:016x}"):
        told = timeline_of([attempt(50, 10, request_id=request_id)])
        assert told.accepted_at == ACCEPTED + timedelta(milliseconds=50)
