"""``python -m benchmarks.million --out DIR``: a database with 1,000,000 usage records, to try pages and commands on.

DIR becomes a data folder as GATEWAY_DATA_DIR names one, with an administrator admin/admin and people with roles.
With DATABASE_URL set, that database is filled instead of DIR's SQLite file. ``--copies 9`` makes it ten million, over
ten times the days.
"""

import argparse
import itertools
import os
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

BATCH = 5000


def fill(
    count: int, days: list[date], *, seed: int = 1, copies: int = 0, report: Any = None
) -> None:
    """Write records through the ledger's own door, copy them, then correct some as a re-costing does."""
    from accounting.ledger import write_rows
    from benchmarks.copies import multiply
    from benchmarks.records import records

    made = records(count, days, seed=seed)
    done = 0
    while batch := list(itertools.islice(made, BATCH)):
        write_rows(batch)
        done += len(batch)
        if report is not None:
            report(done, count)
    if copies:
        multiply(copies, days, report)
    adjust(days[len(days) // 2])


def adjust(on: date) -> None:
    """Correct the cost of some hundred records of a day."""
    from django.db import transaction

    from accounting import rollups
    from accounting.models import Adjustment, UsageRecord

    began_at = datetime(on.year, on.month, on.day, tzinfo=UTC)
    chosen = list(UsageRecord.objects.filter(started_at__gte=began_at).order_by("started_at")[:500])
    adjustments = [
        Adjustment(
            record_id=record.pk,
            record_started_at=record.started_at,
            team=record.team,
            project=record.project,
            key_id=record.key_id,
            amount_usd=(record.cost_usd or Decimal("0.01")) / 10,
            reason="A price was corrected.",
            run=f"benchmark-{on}",
            by="admin",
            at=datetime.now(UTC),
        )
        for record in chosen
    ]
    with transaction.atomic():
        Adjustment.objects.bulk_create(adjustments)
        rollups.apply_adjustments(adjustments, chosen)


def add_people() -> None:
    """Teams, people, keys, a lead and an auditor, and budgets: what the records name."""
    from django.contrib.auth.models import User

    from accounting import keys
    from accounting.models import Budget, Membership, Price, Project, Team, VirtualKey
    from benchmarks.records import FALLBACK, MODELS, PROJECTS, TEAMS, holders

    User.objects.create_superuser("admin", "admin@example.com", "admin")
    teams = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in TEAMS}
    for team in teams.values():
        Project.objects.bulk_create(Project(team=team, slug=slug) for slug in PROJECTS if slug)
        Budget.objects.create(team=team, amount_usd=Decimal(5000), hard=False)
    for holder in holders():
        minted = keys.mint(teams[holder.team], holder.key_name)
        if holder.member:
            user = User.objects.create_user(holder.member, password=holder.member)
            Membership.objects.create(team=teams[holder.team], user=user)
            VirtualKey.objects.filter(pk=minted.row.pk).update(owner=user)
    for name, role in (("lead", "lead"), ("auditor", "auditor")):
        user = User.objects.create_user(name, password=name)
        Membership.objects.create(team=teams["alder"], user=user, role=role)
    User.objects.create_user("outsider", password="outsider")
    for model in (*MODELS, FALLBACK):
        if model.prompt is not None:
            Price.objects.create(
                provider=model.provider,
                upstream_model=model.upstream,
                prompt_usd_per_mtok=Decimal(model.prompt),
                completion_usd_per_mtok=Decimal(model.completion),
                cache_read_usd_per_mtok=Decimal(model.prompt) / 10,
                cache_write_5m_usd_per_mtok=Decimal(model.prompt) * 5 / 4,
                valid_from_at=datetime(2025, 1, 1, tzinfo=UTC),
                source="benchmark",
            )


def main() -> None:
    """Make the folder, migrate, fill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--copies", type=int, default=0, help="how often records are copied, later")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--records-only", action="store_true", help="without people, teams and keys"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["GATEWAY_DATA_DIR"] = str(options.out)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")

    import django

    django.setup()
    from django.core.management import call_command

    from benchmarks.records import days_until

    call_command("migrate", verbosity=0)
    if not options.records_only:
        add_people()
    began = time.perf_counter()
    days = days_until(
        datetime.now(UTC).date() - timedelta(days=options.copies * options.days), options.days
    )
    fill(options.records, days, seed=options.seed, copies=options.copies, report=show)
    count = options.records * (options.copies + 1)
    print(f"\n{count} records in {time.perf_counter() - began:.0f} s")


def show(done: int, count: int) -> None:
    """How far it is."""
    sys.stderr.write(f"\r{done}/{count}")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
