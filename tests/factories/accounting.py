"""The least valid rows of accounting; a test states only what it is about."""

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounting import keys, ledger
from accounting.entries import Entry
from accounting.models import Price, RequestLog, Team, UsageRecord
from accounting.request_logs import LogEntry, row_of

_numbers = itertools.count(1)


def make_team(slug: str = "alder") -> Team:
    """A team, made once for each slug."""
    team, _made = Team.objects.get_or_create(slug=slug)
    return team


def make_key(team: Team | None = None, name: str = "laptop", **fields: Any) -> keys.MintedKey:
    """A key of the team, with its secret."""
    return keys.mint(team or make_team(), name, **fields)


def make_entry(**fields: Any) -> Entry:
    """A succeeded attempt that is on its way into the ledger."""
    number = next(_numbers)
    least: dict[str, Any] = {
        "id": f"{number:028d}-1",
        "request_id": f"req_{number:028d}",
        "attempt": 1,
        "started_at": datetime(2026, 11, 20, 12, tzinfo=UTC),
        "team": "alder",
        "project": "",
        "key_id": 1,
        "key_name": "laptop",
        "alias": "claude-sonnet-4-5",
        "provider": "openrouter",
        "upstream_model": "anthropic/claude-sonnet-4.5",
        "client_dialect": "anthropic_messages",
        "upstream_dialect": "openai_chat",
        "streamed": True,
        "request_bytes": 100,
        "status": "succeeded",
    }
    return Entry(**{**least, **fields})


def make_usage(**fields: Any) -> UsageRecord:
    """A row of the ledger; a cost makes it priced by the provider."""
    if "cost_usd" in fields:
        fields = {"cost_source": "provider", **fields}
    entry = make_entry(**fields)
    ledger.write_rows([entry])
    return UsageRecord.objects.get(pk=entry.id)


def make_price(**fields: Any) -> Price:
    """A price of a model of OpenRouter's, in force since the begin of the year."""
    least: dict[str, Any] = {
        "provider": "openrouter",
        "upstream_model": "model",
        "prompt_usd_per_mtok": Decimal(3),
        "completion_usd_per_mtok": Decimal(15),
        "valid_from_at": datetime(2026, 1, 1, tzinfo=UTC),
        "source": "manual",
    }
    return Price.objects.create(**{**least, **fields})


def make_log_entry(**fields: Any) -> LogEntry:
    """What was captured of an attempt: nothing but who asked."""
    number = next(_numbers)
    least: dict[str, Any] = {
        "id": f"{number:028d}-1",
        "request_id": f"req_{number:028d}",
        "at": datetime(2026, 11, 20, 12, tzinfo=UTC),
        "team": "alder",
        "key_name": "laptop",
        "bytes_max": 1000,
        "secrets": (),
        "headers": {},
        "bodies": {},
    }
    return LogEntry(**{**least, **fields})


def make_request_log(**fields: Any) -> RequestLog:
    """A row of the request log."""
    row = row_of(make_log_entry(**fields), ())
    row.save(force_insert=True)
    return row
