"""Starts the production server in the foreground."""

import argparse
import shutil
import signal
import sys
from typing import Any

import uvicorn
from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from llmgateway.environment import tell_children


class Command(BaseCommand):
    """uvicorn with uvloop and httptools: half the CPU per request of the next best (docs/contributors/measurements.md)."""

    help = "Start the production server in the foreground; SIGTERM ends it cleanly."
    requires_migrations_checks = True
    # Not the addresses of pages: looking at them loads all of the admin and the API, 1.5 s and 40 MB that a worker
    # without pages never needs. `manage.py check` and CI look at them.
    requires_system_checks = (Tags.models, Tags.database, Tags.caches, Tags.compatibility)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="Address to listen at (default: %(default)s)."
        )
        parser.add_argument(
            "--port", type=int, default=8000, help="Port to listen at (default: %(default)s)."
        )
        parser.add_argument(
            "--workers", type=int, default=1, help="Processes (default: %(default)s)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        workers = options["workers"]
        if workers < 1:
            raise CommandError("--workers must be at least 1.")
        if workers > 1:
            check_shared_state()
            share_metrics()
        if not settings.STATIC_ROOT.exists():
            call_command("collectstatic", verbosity=0, interactive=False)
        # uvicorn drains, then raises the signal again: asked to stop, the program has done as it was told.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        uvicorn.run(
            "llmgateway.asgi:application",
            host=options["host"],
            port=options["port"],
            workers=workers,
            loop="uvloop",
            http="llmgateway.head_limits:HeadLimits",
            ws="auto",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.SHUTDOWN_GRACE_S,
            backlog=4096,
        )


def share_metrics() -> None:
    """Give the workers a folder, emptied now, in which their figures lie beside each other."""
    folder = settings.DATA_DIR / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # prometheus_client looks at this when it is imported, which the workers are still to do.
    tell_children("PROMETHEUS_MULTIPROC_DIR", str(folder))


def check_shared_state() -> None:
    """Refuse several workers on state that only one process can see.

    Raises:
        CommandError: with what to set.
    """
    if settings.REDIS_URL:
        return
    if settings.IS_SQLITE:
        raise CommandError(
            "Several workers need Redis (REDIS_URL), because limits, holds and news would be each worker's own. SQLite "
            "can go on where all workers are on this machine; where there are more, they need PostgreSQL (DATABASE_URL), "
            "too. Start one worker, or set it."
        )
    raise CommandError(
        "Several workers need Redis (REDIS_URL), because limits, holds and news would be each worker's own. Start one "
        "worker, or set it."
    )
