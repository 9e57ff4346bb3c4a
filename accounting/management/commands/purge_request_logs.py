"""Deletes request logs that are older than the retention; serving processes do so by themselves every hour."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounting.request_logs import purge


class Command(BaseCommand):
    """The only way in which request logs are deleted, beside the serving processes' own purge."""

    help = "Delete request logs older than GATEWAY_LOG_RETENTION_DAYS."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--days."""
        parser.add_argument(
            "--days",
            type=int,
            default=settings.LOG_RETENTION_DAYS,
            help="Keep what is younger than this many days instead; 0 deletes everything.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Purge, and say how many."""
        days: int = options["days"]
        if days < 0:
            raise CommandError("--days cannot be negative.")
        count = purge(before=datetime.now(UTC) - timedelta(days=days))
        self.stdout.write(f"{count} request logs older than {days} days were deleted.")
