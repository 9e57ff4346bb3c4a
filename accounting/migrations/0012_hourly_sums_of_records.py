"""Hourly sums of the records that are there, a day at a time; roll_up_usage --repair adds those of archived ones."""

from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b

from django.db import migrations
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import ExtractHour

DAY = timedelta(days=1)
IDS_AT_ONCE = 500
ROWS_AT_ONCE = 2000
HOUR = ExtractHour("started_at", tzinfo=UTC)


def bounds():
    """As accounting/rollups.py has them."""
    found, bound = list(range(20)), 20.0
    while bound <= 2**31 - 1:
        found.append(int(bound))
        bound = max(bound * 1.05, int(bound) + 1.0)
    return found


BOUNDS_MS = bounds()


def id_of(*key):
    """As accounting/rollups.py makes them."""
    return blake2b("\0".join(map(str, key)).encode(), digest_size=16).hexdigest()


def add_up(apps, schema_editor):
    """Write the hourly sums of each day that has records."""
    alias = schema_editor.connection.alias
    rows = apps.get_model("accounting", "UsageRecord").objects.using(alias)
    ends = rows.aggregate(first=Min("started_at"), last=Max("started_at"))
    if ends["first"] is None:
        return
    first = ends["first"].astimezone(UTC)
    began_at = datetime(first.year, first.month, first.day, tzinfo=UTC)
    while began_at <= ends["last"]:
        of_day = rows.filter(started_at__gte=began_at, started_at__lt=began_at + DAY).order_by()
        add_usage(apps, alias, began_at, of_day)
        add_ttft(apps, alias, began_at, of_day)
        began_at += DAY


def add_usage(apps, alias, began_at, of_day):
    model = apps.get_model("accounting", "HourlyUsage")
    adjusted = adjustments_of(apps, alias, began_at)
    grouped = of_day.annotate(of_hour=HOUR).values("of_hour", "provider", "error")
    sums = grouped.annotate(
        of_attempts=Count("pk"),
        of_requests=Count("pk", filter=Q(attempt=1)),
        of_failed=Count("pk", filter=Q(status="failed")),
        of_prompt=Sum("prompt_tokens"),
        of_completion=Sum("completion_tokens"),
        of_cost=Sum("cost_usd"),
    )
    on = began_at.date()
    model.objects.using(alias).bulk_create(
        (
            model(
                id=id_of(on, row["of_hour"], row["provider"], row["error"]),
                on=on,
                hour=row["of_hour"],
                provider=row["provider"],
                error=row["error"],
                attempts=row["of_attempts"],
                requests=row["of_requests"],
                failed=row["of_failed"],
                prompt_tokens=row["of_prompt"] or 0,
                completion_tokens=row["of_completion"] or 0,
                cost_usd=row["of_cost"] or Decimal(0),
                adjusted_usd=adjusted.get((row["of_hour"], row["provider"], row["error"]), Decimal(0)),
            )
            for row in sums
        ),
        batch_size=ROWS_AT_ONCE,
    )


def adjustments_of(apps, alias, began_at):
    """What was adjusted of the records of a day, by hour, provider and error."""
    amounts = Counter()
    found = apps.get_model("accounting", "Adjustment").objects.using(alias).filter(
        record_started_at__gte=began_at, record_started_at__lt=began_at + DAY
    )
    for record_id, amount_usd in found.order_by().values_list("record_id", "amount_usd"):
        amounts[record_id] += amount_usd or Decimal(0)
    ids = list(amounts)
    records = apps.get_model("accounting", "UsageRecord").objects.using(alias).order_by()
    adjusted = Counter()
    for begin in range(0, len(ids), IDS_AT_ONCE):
        portion = records.filter(pk__in=ids[begin : begin + IDS_AT_ONCE]).annotate(of_hour=HOUR)
        for pk, *key in portion.values_list("pk", "of_hour", "provider", "error"):
            adjusted[tuple(key)] += amounts[pk]
    return adjusted


def add_ttft(apps, alias, began_at, of_day):
    model = apps.get_model("accounting", "HourlyTtft")
    counts = Counter()
    grouped = of_day.exclude(ttft_ms=None).annotate(of_hour=HOUR).values_list("of_hour", "ttft_ms")
    for hour, ms, count in grouped.annotate(of_all=Count("pk")):
        counts[hour, bisect_right(BOUNDS_MS, ms) - 1] += count
    on = began_at.date()
    model.objects.using(alias).bulk_create(
        (
            model(id=id_of(on, hour, bucket), on=on, hour=hour, bucket=bucket, count=count)
            for (hour, bucket), count in counts.items()
        ),
        batch_size=ROWS_AT_ONCE,
    )


class Migration(migrations.Migration):
    """Taking it back leaves the sums; the migration before drops their tables."""

    dependencies = [("accounting", "0011_hourly_sums")]

    operations = [migrations.RunPython(add_up, migrations.RunPython.noop)]
