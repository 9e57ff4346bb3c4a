"""Daily and hourly sums: equal to the rows they stand for, whatever is written twice or corrected, and percentiles at most 5 % off."""

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounting import rollups
from accounting.entries import Entry
from accounting.ledger import write_rows
from accounting.models import (
    Adjustment,
    DailyLatency,
    DailyUsage,
    HourlyTtft,
    HourlyUsage,
    UsageRecord,
)
from accounting.rollups import BOUNDS_MS, bucket_of, percentile
from tests.factories.accounting import make_entry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def adjust(record_id: str, amount: str, run: str = "run-1") -> None:
    """Book a correction as a re-costing does."""
    record = UsageRecord.objects.get(pk=record_id)
    adjustment = Adjustment(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        project=record.project,
        key_id=record.key_id,
        amount_usd=Decimal(amount),
        reason="new prices",
        run=run,
        at=NOON,
    )
    with transaction.atomic():
        Adjustment.objects.bulk_create([adjustment])
        rollups.apply_adjustments([adjustment], [record])


def sums_of_rows() -> tuple[dict[str, dict[str, object]], dict[str, int]]:
    """What the sums must be, worked out row by row in the slow and obvious way."""
    adjusted = {row.pk: [] for row in UsageRecord.objects.all()}
    for adjustment in Adjustment.objects.all():
        adjusted[adjustment.record_id].append(adjustment.amount_usd)
    usage: dict[str, dict[str, object]] = {}
    latency: dict[str, int] = {}
    for row in UsageRecord.objects.all():
        key = rollups.key_of(row)
        sums = usage.setdefault(
            rollups.usage_id(key), dict.fromkeys(rollups.COUNTS, 0) | {"cost_usd": Decimal(0)}
        )
        amounts = {
            "attempts": 1,
            "requests": 1 if row.attempt == 1 else 0,
            row.status: 1,
            "fallbacks": 0 if row.attempt == 1 else 1,
            "unpriced": int(
                row.cost_usd is None and row.status != "failed" and not adjusted[row.pk]
            ),
            **{
                name: getattr(row, name) or 0
                for name in rollups.COUNTS
                if name.endswith("_tokens") or name in ("cost_usd", "cache_saved_usd")
            },
            "adjusted_usd": sum(adjusted[row.pk], Decimal(0)),
        }
        for measure in ("ttft", "duration"):
            if (ms := getattr(row, f"{measure}_ms")) is not None:
                amounts |= {f"{measure}_ms_sum": ms, f"{measure}_count": 1}
                slot = (key[0], row.team, row.provider)
                slot += (row.provider_kind, row.upstream_model, measure, bucket_of(ms))
                name = rollups.latency_id(slot)
                latency[name] = latency.get(name, 0) + 1
        for name, amount in amounts.items():
            sums[name] += amount
    return usage, latency


def sums_of_hours() -> tuple[dict[rollups.Key, dict[str, object]], dict[rollups.Key, int]]:
    """The same by the hour: sums by day, hour, provider and error, and counts by day, hour and bucket."""
    hours: dict[rollups.Key, dict[str, object]] = {}
    buckets: dict[rollups.Key, int] = {}
    for row in UsageRecord.objects.all():
        on, hour = row.started_at.date(), row.started_at.hour
        sums = hours.setdefault(
            (on, hour, row.provider, row.error), dict.fromkeys(rollups.HOUR_COUNTS, 0)
        )
        sums["attempts"] += 1
        sums["requests"] += 1 if row.attempt == 1 else 0
        sums["failed"] += 1 if row.status == "failed" else 0
        sums["prompt_tokens"] += row.prompt_tokens or 0
        sums["completion_tokens"] += row.completion_tokens or 0
        sums["cost_usd"] += row.cost_usd or 0
        sums["adjusted_usd"] += sum(
            found.amount_usd for found in Adjustment.objects.filter(record_id=row.pk)
        )
        if row.ttft_ms is not None:
            slot = (on, hour, bucket_of(row.ttft_ms))
            buckets[slot] = buckets.get(slot, 0) + 1
    return hours, buckets


def assert_sums_equal_rows() -> None:
    hours, buckets = sums_of_hours()
    assert {
        (row.on, row.hour, row.provider, row.error): {n: getattr(row, n) for n in rollups.HOUR_COUNTS}
        for row in HourlyUsage.objects.all()
    } == hours  # fmt: skip
    assert {(row.on, row.hour, row.bucket): row.count for row in HourlyTtft.objects.all()} == buckets  # fmt: skip
    usage, latency = sums_of_rows()
    assert {row.pk: {n: getattr(row, n) for n in rollups.COUNTS} for row in DailyUsage.objects.all()} == usage  # fmt: skip
    assert dict(DailyLatency.objects.values_list("pk", "count")) == latency


@pytest.mark.django_db
def test_a_record_is_added_to_the_sums_of_its_day_and_words():
    write_rows(
        [
            make_entry(
                started_at=datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC),
                project="web",
                member="ada",
                end_user="dev-1",
                session="s",
                agent="explore",
                tags=",a,b,",
                provider_kind="openrouter",
                prompt_tokens=100,  # 70 uncached + 20 cache-read + 10 cache-write
                completion_tokens=30,
                cache_read_tokens=20,
                cache_write_tokens=10,
                reasoning_tokens=7,
                cost_usd=Decimal("0.000000000001"),
                cache_saved_usd=Decimal("-0.5"),
                ttft_ms=300,
                duration_ms=1500,
            )
        ]
    )

    row = DailyUsage.objects.get()
    assert row.on == date(2026, 11, 20)
    assert {name: getattr(row, name) for name in rollups.WORDS} == {
        "team": "alder",
        "project": "web",
        "key_id": 1,
        "key_name": "laptop",
        "member": "ada",
        "end_user": "dev-1",
        "session": "s",
        "agent": "explore",
        "tags": ",a,b,",
        "alias": "claude-sonnet-4-5",
        "provider": "openrouter",
        "provider_kind": "openrouter",
        "upstream_model": "anthropic/claude-sonnet-4.5",
    }
    assert {name: value for name in rollups.COUNTS if (value := getattr(row, name))} == {
        "attempts": 1,
        "requests": 1,
        "succeeded": 1,
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "cache_read_tokens": 20,
        "cache_write_tokens": 10,
        "reasoning_tokens": 7,
        "cost_usd": Decimal("0.000000000001"),
        "cache_saved_usd": Decimal("-0.5"),
        "ttft_ms_sum": 300,
        "ttft_count": 1,
        "duration_ms_sum": 1500,
        "duration_count": 1,
    }
    assert list(
        DailyLatency.objects.order_by("measure").values_list("measure", "bucket", "count", "team")
    ) == [("duration", bucket_of(1500), 1, "alder"), ("ttft", bucket_of(300), 1, "alder")]


@pytest.mark.django_db
def test_what_is_written_twice_is_summed_once():
    first, second, third = make_entry(), make_entry(), make_entry()
    write_rows([first])
    write_rows([second, first, second, third])
    write_rows([third])

    assert DailyUsage.objects.get().attempts == 3
    assert_sums_equal_rows()


@pytest.mark.django_db
def test_each_day_and_each_word_has_sums_of_its_own():
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    write_rows(
        [
            make_entry(started_at=midnight - timedelta(microseconds=1)),
            make_entry(started_at=midnight),
            *(
                make_entry(**{name: 2 if name == "key_id" else f",{name},"})
                for name in rollups.WORDS
            ),
        ]
    )

    assert DailyUsage.objects.count() == 2 + len(rollups.WORDS)
    assert_sums_equal_rows()


@pytest.mark.django_db
def test_each_hour_provider_and_error_has_sums_of_its_own():
    hour = datetime(2026, 11, 21, 9, tzinfo=UTC)
    write_rows(
        [
            make_entry(started_at=hour - timedelta(microseconds=1), ttft_ms=9),
            make_entry(started_at=hour, ttft_ms=9, cost_usd=Decimal("0.25")),
            make_entry(started_at=hour + timedelta(minutes=59), ttft_ms=9, attempt=2),
            make_entry(started_at=hour, provider="litellm", error="Lost", status="failed"),
        ]
    )

    names = ("hour", "provider", "error", "attempts", "requests", "failed", "cost_usd")
    assert set(HourlyUsage.objects.values_list(*names)) == {
        (8, "openrouter", "", 1, 1, 0, 0),
        (9, "openrouter", "", 2, 1, 0, Decimal("0.25")),
        (9, "litellm", "Lost", 1, 1, 1, 0),
    }
    assert set(HourlyTtft.objects.values_list("hour", "bucket", "count")) == {(8, 9, 1), (9, 9, 2)}


@pytest.mark.django_db
def test_words_that_run_into_each_other_are_kept_apart():
    write_rows([make_entry(session="a,", agent="b"), make_entry(session="a", agent=",b")])

    assert DailyUsage.objects.count() == 2


@pytest.mark.django_db
def test_only_what_did_not_fail_is_unpriced_until_its_first_adjustment():
    unpriced, failed = make_entry(), make_entry(status="failed")
    write_rows([unpriced, failed])
    assert DailyUsage.objects.get().unpriced == 1

    adjust(unpriced.id, "0.5", run="run-1")
    adjust(unpriced.id, "-0.2", run="run-2")
    adjust(failed.id, "0.1", run="run-2")

    row = DailyUsage.objects.get()
    assert row.unpriced == 0
    assert row.adjusted_usd == Decimal("0.4")  # 0.5 - 0.2 + 0.1
    assert row.cost_usd == 0
    assert_sums_equal_rows()


@pytest.mark.django_db
def test_sums_are_lost_with_the_rows_when_a_batch_fails():
    with pytest.raises(Exception, match=r"constraint|not-null"):
        write_rows([make_entry(), make_entry(alias=None)])

    assert not DailyUsage.objects.exists()
    assert not HourlyUsage.objects.exists()
    assert not UsageRecord.objects.exists()


@pytest.mark.django_db
def test_a_batch_takes_the_same_few_statements_whatever_its_size(django_assert_num_queries):
    write_rows([make_entry()])
    with django_assert_num_queries(7):  # begin, rows, sums and buckets of days, of hours, end
        write_rows([make_entry(session=str(n), ttft_ms=n, duration_ms=n * 9) for n in range(200)])


_numbers = itertools.count(1)
_entries = st.builds(
    lambda **fields: make_entry(**fields),
    id=st.integers(1, 12).map(lambda number: f"entry-{number}"),
    started_at=st.sampled_from([NOON, NOON + timedelta(hours=12), NOON - timedelta(days=1)]),
    session=st.sampled_from(["", "a", "b"]),
    attempt=st.sampled_from([1, 2]),
    status=st.sampled_from(["succeeded", "failed", "client_closed", "interrupted"]),
    provider=st.sampled_from(["openrouter", "litellm"]),
    error=st.sampled_from(["", "UpstreamBroken"]),
    ttft_ms=st.none() | st.integers(0, 5000),
    duration_ms=st.none() | st.integers(0, 2**31 - 1),
    prompt_tokens=st.none() | st.integers(0, 2**31 - 1),
    cost_usd=st.none() | st.decimals(-5, 5, places=12),
    cache_saved_usd=st.none() | st.decimals(-5, 5, places=12),
)
_steps = st.lists(
    st.lists(_entries, max_size=6)
    | st.tuples(st.integers(1, 12), st.decimals(-5, 5, places=12), st.booleans()),
    max_size=8,
)


def take(step: "list[Entry] | tuple[int, Decimal, bool]") -> None:
    if isinstance(step, list):
        write_rows(step)
    elif UsageRecord.objects.filter(pk=f"entry-{step[0]}").exists():
        adjust(f"entry-{step[0]}", str(step[1]), run=f"run-{next(_numbers)}")


@pytest.mark.django_db
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_steps)
def test_any_batches_with_repeats_and_adjustments_leave_sums_equal_to_rows(steps):
    with transaction.atomic():
        for step in steps:
            take(step)
        assert_sums_equal_rows()
        transaction.set_rollback(True)


def test_buckets_lie_end_to_end_and_none_is_wider_than_five_percent():
    assert BOUNDS_MS[0] == 0
    assert BOUNDS_MS[-1] <= rollups.MS_MAX
    for low, high in itertools.pairwise(BOUNDS_MS):
        assert low < high
        assert (high - 1) <= low * 1.05
        assert bucket_of(low) == bucket_of(high - 1) == bucket_of(high) - 1
    assert bucket_of(rollups.MS_MAX) == len(BOUNDS_MS) - 1


def counts_of(values: Iterable[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    return counts


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_at_most_five_percent_off(share):
    chance = random.Random(5)
    values = sorted(round(chance.lognormvariate(7, 1)) for _ in range(5000))
    exact = values[max(0, round(share * len(values)) - 1)]

    assert abs(percentile(counts_of(values), share) - exact) <= exact * 0.05 + 1


@given(values=st.lists(st.integers(0, 10_000_000), min_size=1), share=st.floats(0, 1))
def test_a_percentile_lies_in_the_bucket_of_an_attempt(values, share):
    found = percentile(counts_of(values), share)

    assert bucket_of(found) in counts_of(values)


def test_without_attempts_there_is_no_percentile():
    assert percentile({}, 0.5) is None
    assert percentile({3: 0}, 0.5) is None
