"""``python -m tests.browser.company``: fill the gateway's data folder with a company to look at.

The same each time, but for the moments, which end now: teams with their people, keys and budgets, providers with
routes, prices, and usage records of two weeks. GATEWAY_DATA_DIR names the folder, and must be set.
"""

import json
import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml

RECORDS = 900
LAST_DAY = date(2026, 3, 5)
"""A Thursday: the days before it have the sums of a working week, whichever day it is now."""
DAYS = 14
PEOPLE = {"lead": ("alder", "lead"), "member": ("alder", "member"), "outsider": ("birch", "member")}
"""Team and role of those who can sign in, beside the administrator; the password is the name."""
DEAR_USD_PER_MTOK = Decimal(1000)
"""Of the demo's model that uses up budgets."""
NOBODY_URL = "http://127.0.0.1:9"
JUST_NOW = timedelta(seconds=40)
FORMS_OF_THEIR_OWN = {"provider", "modelalias", "virtualkey", "budget", "user", "apitoken"}
"""Models whose form for a new row is not the one of the rows that are there."""


def configuration(upstream_url: str) -> dict[str, Any]:
    """Providers and routes. Nobody calls the first four, whose names the records have."""
    secret = [{"label": "main", "secret": "${COMPANY_SECRET}"}]
    providers: dict[str, Any] = {
        "openrouter": {"kind": "openrouter", "credentials": secret},
        "anthropic": {"kind": "anthropic", "credentials": secret},
        "litellm": {
            "kind": "litellm_proxy",
            "base_url": "http://127.0.0.1:4000",
            "credentials": secret,
        },
        "local": {"kind": "ollama", "base_url": "http://127.0.0.1:11434/v1"},
        "held": {"kind": "openai_compatible", "base_url": upstream_url, "credentials": secret},
    }
    from benchmarks.records import FALLBACK, MODELS

    aliases: dict[str, Any] = {}
    for model in MODELS:
        targets = [{"provider": model.provider, "model": model.upstream}]
        if model.provider == "openrouter":
            targets.append({"provider": FALLBACK.provider, "model": FALLBACK.upstream})
        aliases[model.alias] = {"targets": targets}
    aliases["held"] = {"targets": [{"provider": "held", "model": "held-1"}]}
    for name, model in (("edited", "demo-1"), ("other", "demo-2"), ("dear", "dear")):
        aliases[name] = {"targets": [{"provider": "demo", "model": model}]}
    return {
        "version": 1,
        "providers": providers,
        "aliases": aliases,
        "header_rules": [{"action": "add", "name": "x-title", "value": "Gateway of ${team}"}],
        "transformations": [
            {"kind": "regex", "pattern": "sk-[A-Za-z0-9]{20,}", "replacement": "[key]"}
        ],
        "flags": {"log_bodies": True, "log_headers": True},
        "tiers": {"fast": {"alias": "claude-haiku-4-5"}},
        "agent_types": {"explore": {"value": "explore", "tier": "fast"}},
    }


def add_people() -> None:
    """Teams, projects, everybody's keys, and those who sign in."""
    from django.contrib.auth.models import User

    from accounting import keys
    from accounting.models import Budget, Membership, Project, Team
    from benchmarks.records import PROJECTS, TEAMS, holders

    teams = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in TEAMS}
    for number, team in enumerate(teams.values()):
        Project.objects.bulk_create(Project(team=team, slug=slug) for slug in PROJECTS if slug)
        Budget.objects.create(team=team, amount_usd=Decimal(4 + 2 * number), hard=False)
    for holder in holders():
        keys.mint(teams[holder.team], holder.key_name)
    for name, (slug, role) in PEOPLE.items():
        user = User.objects.create_user(name, f"{name}@example.com", name)
        Membership.objects.create(team=teams[slug], user=user, role=role)


def add_prices() -> None:
    """What the models of the records cost, and one of the demo's that costs enough to use up a budget."""
    from accounting.models import Price
    from benchmarks.records import FALLBACK, MODELS

    since = datetime(2026, 1, 1, tzinfo=UTC)
    known = [
        (model.provider, model.upstream, Decimal(model.prompt), Decimal(model.completion))
        for model in (*MODELS, FALLBACK)
        if model.prompt is not None
    ]
    for provider, model, prompt, completion in (
        *known,
        ("demo", "dear", DEAR_USD_PER_MTOK, DEAR_USD_PER_MTOK),
        ("held", "held-1", Decimal(3), Decimal(15)),
    ):
        Price.objects.create(
            provider=provider,
            upstream_model=model,
            prompt_usd_per_mtok=prompt,
            completion_usd_per_mtok=completion,
            valid_from_at=since,
            source="example",
        )


def add_records() -> None:
    """Two weeks of requests; the last of them began just now. Some were corrected later."""
    from accounting.ledger import write_rows
    from benchmarks.million import adjust
    from benchmarks.records import days_until, records

    entries = list(records(RECORDS, days_until(LAST_DAY, DAYS)))
    now = datetime.now(UTC)
    later = now - JUST_NOW - entries[-1].started_at
    write_rows(
        msgspec.structs.replace(entry, started_at=entry.started_at + later) for entry in entries
    )
    adjust(now.date())


def add_one_of_each(now: datetime) -> None:
    """A row for each page of the admin that would be empty without."""
    from django.contrib.auth.models import Group, User

    from accounting.models import Budget, BudgetAlert, MaskPattern, UsageRecord
    from llmgateway.api import tokens
    from tests.factories.accounting import make_request_log

    Group.objects.create(name="platform")
    tokens.mint(User.objects.get(username="admin"), "terraform")
    MaskPattern.objects.create(name="patients", pattern="patient-[0-9]+")
    for budget in Budget.objects.order_by("pk")[:3]:
        BudgetAlert.objects.create(
            budget=budget,
            window_began_at=now,
            threshold=80,
            spent_usd=budget.amount_usd * Decimal("0.83"),
            amount_usd=budget.amount_usd,
            at=now,
            error="No mail server is set up.",
        )
    record = UsageRecord.objects.filter(attempt=2).latest("started_at")
    make_request_log(
        id=record.pk, request_id=record.request_id, at=now, headers={"request": [["accept", "*/*"]]}
    )


def addresses() -> dict[str, list[str]]:
    """Where the pages of the admin are: of each model the list, the form for a new row, and the first row."""
    from django.contrib.admin import site
    from django.contrib.auth.models import User
    from django.test import RequestFactory
    from django.urls import reverse

    from accounting.models import UsageRecord

    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(username="admin")
    found: dict[str, list[str]] = {}
    for model, page in site._registry.items():
        names = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = found.setdefault(model._meta.app_label, [])
        pages.append(reverse(f"{names}_changelist"))
        row = model._default_manager.order_by("pk").first()
        if row is not None:
            pages.append(reverse(f"{names}_change", args=[row.pk]))
        has_form = row is None or model._meta.model_name in FORMS_OF_THEIR_OWN
        if has_form and page.has_add_permission(request):
            pages.append(reverse(f"{names}_add"))
    rescued = UsageRecord.objects.filter(attempt=2).latest("started_at")
    found["requests"] = [reverse("accounting:request", args=[rescued.request_id])]
    return found


def main() -> None:
    """Migrate, fill, and prepare the rest as a first run does; the admin's addresses go into a file."""
    data_dir = Path(
        os.environ["GATEWAY_DATA_DIR"]
    )  # without it, the developer's own would be filled
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
    os.environ["COMPANY_SECRET"] = "sk-company-0000000000"

    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    add_people()
    add_prices()
    add_records()
    call_command("first_run", verbosity=0)
    path = data_dir / "company.yaml"
    path.write_text(yaml.safe_dump(configuration(os.environ.get("UPSTREAM_URL", NOBODY_URL))))
    call_command("import_config", str(path), verbosity=0)
    add_one_of_each(datetime.now(UTC))
    (data_dir / "addresses.json").write_text(json.dumps(addresses()))


if __name__ == "__main__":
    main()
