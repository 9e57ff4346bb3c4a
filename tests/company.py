"""A company in the database: 100,000 usage records, and of everything else of accounts more than a select box may hold."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import Group, User

from accounting.audit import trail
from accounting.models import (
    Budget,
    BudgetAlert,
    MaskPattern,
    Membership,
    Price,
    PriceTier,
    Project,
    RequestLog,
    Team,
    UsageRecord,
    VirtualKey,
)  # fmt: skip
from benchmarks.million import add_people, fill
from benchmarks.records import days_until
from llmgateway.api.models import ApiToken

MANY = 1000
BUDGETS_A_DAY, BUDGETS_A_WEEK = 1000, 850
"""Of keys by the day and by the week; with one by the month for 650 projects they are 2,500."""
BUDGETS_A_MONTH = 650
ALDERS = 60
"""People, projects and keys of team alder, whose page shows them all."""


def found(*, records: int) -> User:
    """Fill the database; its administrator."""
    now = datetime.now(UTC)
    add_people()
    fill(records, days_until(now.date(), 40))
    add_teams()
    add_money(now)
    add_logs(now)
    return User.objects.get(username="admin")


def add_teams() -> None:
    """Teams, people, projects, keys and tokens."""
    alder = Team.objects.get(slug="alder")
    Team.objects.bulk_create(Team(slug=f"team-{n}") for n in range(MANY // 4))
    teams = list(Team.objects.all())
    User.objects.bulk_create(
        User(username=f"somebody-{n}", email=f"{n}@example.com") for n in range(MANY)
    )
    people = list(User.objects.filter(username__startswith="somebody"))
    Group.objects.bulk_create(Group(name=f"group {n}") for n in range(50))
    Membership.objects.bulk_create(
        Membership(team=alder if n < ALDERS else teams[n % len(teams)], user=user)
        for n, user in enumerate(people)
    )
    Project.objects.bulk_create(
        Project(team=alder if n < ALDERS else teams[n % len(teams)], slug=f"project-{n}")
        for n in range(MANY)
    )
    projects = list(Project.objects.filter(slug__startswith="project-"))
    VirtualKey.objects.bulk_create(
        VirtualKey(
            team=projects[n].team,
            name=f"key-{n}",
            digest=f"{n:064x}",
            prefix="gw-abcd",
            last_four=f"{n:04}",
            default_project=projects[n],
            owner=people[n],
        )
        for n in range(MANY)
    )
    ApiToken.objects.bulk_create(
        ApiToken(
            user=people[n],
            name=f"token-{n}",
            digest=f"{n:064x}",
            prefix="gwa-abcd",
            last_four=f"{n:04}",
        )
        for n in range(MANY)
    )


def add_money(now: datetime) -> None:
    """Budgets with their alerts, and prices with their histories."""
    Budget.objects.bulk_create(
        [
            *(
                Budget(key=key, amount_usd=Decimal(50), window=window)
                for window, count in (("day", BUDGETS_A_DAY), ("week", BUDGETS_A_WEEK))
                for key in VirtualKey.objects.order_by("pk")[:count]
            ),
            *(
                Budget(project=project, amount_usd=Decimal(500))
                for project in Project.objects.order_by("pk")[:BUDGETS_A_MONTH]
            ),
        ]
    )
    BudgetAlert.objects.bulk_create(
        BudgetAlert(
            budget=budget,
            window_began_at=now,
            threshold=80,
            spent_usd=Decimal(40),
            amount_usd=Decimal(50),
            at=now,
            error="No mail server is set up.",
        )
        for budget in Budget.objects.order_by("pk")[:MANY]
    )
    Price.objects.bulk_create(
        Price(
            provider=f"provider-{n % 40}",
            upstream_model=f"model-{n // 4}",
            prompt_usd_per_mtok=Decimal(3),
            completion_usd_per_mtok=Decimal(15),
            valid_from_at=now - timedelta(days=n % 4),
            source=f"source-{n % 7}",
        )
        for n in range(MANY)
    )
    PriceTier.objects.bulk_create(
        PriceTier(
            price=price,
            prompt_tokens_above=200_000,
            prompt_usd_per_mtok=Decimal(6),
            completion_usd_per_mtok=Decimal(30),
        )
        for price in Price.objects.all()
    )
    MaskPattern.objects.bulk_create(
        MaskPattern(name=f"pattern {n}", pattern=f"patient-{n}") for n in range(100)
    )


def add_logs(now: datetime) -> None:
    """Request logs and audit entries."""
    newest = UsageRecord.objects.order_by("-started_at").values_list("pk", "request_id", "team")
    RequestLog.objects.bulk_create(
        RequestLog(
            id=pk, request_id=request_id, at=now, team=team, key_name="laptop", bytes_max=1000
        )
        for pk, request_id, team in newest[:MANY]
    )
    keys = VirtualKey.objects.order_by("pk")[:MANY]
    trail.append(
        trail.Draft(
            action="change",
            kind="accounting.virtualkey",
            object_id=str(key.pk if n % 4 else keys[0].pk),
            name=key.name,
            team="alder",
            before={"enabled": True},
            after={"enabled": False},
        )
        for n, key in enumerate(keys)
    )
