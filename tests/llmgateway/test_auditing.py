"""Every change of configuration, keys, budgets, prices, members and users leaves an entry; nothing else does."""

import ast
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import DatabaseError, models, transaction

from accounting.audit import trail, watch
from accounting.audit.values import label_of
from accounting.models import (
    AuditEntry,
    Budget,
    GroupGrant,
    MaskPattern,
    Membership,
    Price,
    PriceTier,
    Project,
    Team,
    VirtualKey,
)
from llmgateway import auditing
from llmgateway.api import tokens
from llmgateway.api.models import ApiToken
from routing import snapshot, versions
from routing.models import (
    AgentType,
    Credential,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    Route,
    RouteTarget,
    Transformation,
)
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)
from tests.processes import ROOT

pytestmark = pytest.mark.django_db


def entries(since: int = 0) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(number__gt=since).order_by("number"))


def newest() -> int:
    last = trail.newest()
    return last.number if last else 0


# What is made, what is changed of it, and what stands in the entry of the change before and after.
WALK: dict[type[models.Model], tuple[Any, dict[str, Any], tuple[dict, dict]]] = {
    Provider: (make_provider, {"retries_max": 7}, ({"retries_max": 2}, {"retries_max": 7})),
    Credential: (
        lambda: make_credential(make_provider()),
        {"sealed_secret": "other"},
        ({"sealed_secret": "(secret)"}, {"sealed_secret": "(another secret)"}),
    ),
    Deployment: (
        lambda: make_deployment(make_provider()),
        {"parameters": {"temperature": 0.5, "api_key": "planted"}},
        ({"parameters": {}}, {"parameters": {"temperature": 0.5, "api_key": "(secret)"}}),
    ),
    ModelAlias: (
        lambda: make_alias("sonnet"),
        {"enabled": False},
        ({"enabled": True}, {"enabled": False}),
    ),
    Route: (
        lambda: Route.objects.create(alias=make_alias("sonnet")),
        {"teams": "alder"},
        ({"teams": ""}, {"teams": "alder"}),
    ),
    RouteTarget: (
        lambda: make_alias("sonnet", make_deployment(make_provider())).routes.get().targets.get(),
        {"prompt_tokens_over": 5},
        ({"prompt_tokens_over": None}, {"prompt_tokens_over": 5}),
    ),
    FeatureFlag: (
        lambda: FeatureFlag.objects.create(name="log_bodies", team="alder"),
        {"percentage": 5},
        ({"percentage": 100}, {"percentage": 5}),
    ),
    ModelTier: (
        lambda: ModelTier.objects.create(slug="fast", alias=make_alias("haiku")),
        {"description": "quick"},
        ({"description": ""}, {"description": "quick"}),
    ),
    AgentType: (
        lambda: AgentType.objects.create(slug="summarizer"),
        {"value": "sum*"},
        ({"value": "*"}, {"value": "sum*"}),
    ),
    HeaderRule: (
        lambda: HeaderRule.objects.create(action="force", name="authorization", value="planted"),
        {"value": "planted anew"},
        ({"value": "(secret)"}, {"value": "(another secret)"}),
    ),
    Transformation: (
        lambda: Transformation.objects.create(pattern="sk-[a-z]+"),
        {"replacement": "[key]"},
        ({"replacement": ""}, {"replacement": "[key]"}),
    ),
    Team: (make_team, {"name": "Alder"}, ({"name": ""}, {"name": "Alder"})),
    Project: (
        lambda: Project.objects.create(team=make_team(), slug="web"),
        {"requests_per_minute": 9},
        ({"requests_per_minute": None}, {"requests_per_minute": 9}),
    ),
    Membership: (
        lambda: Membership.objects.create(team=make_team(), user=User.objects.create_user("ada")),
        {"role": "lead"},
        ({"role": "member"}, {"role": "lead"}),
    ),
    VirtualKey: (
        lambda: make_key().row,
        {"digest": "0" * 64, "expires_at": datetime(2027, 1, 1, tzinfo=UTC)},
        (
            {"digest": "(secret)", "expires_at": None},
            {"digest": "(another secret)", "expires_at": "2027-01-01T00:00:00+00:00"},
        ),
    ),
    Budget: (
        lambda: Budget.objects.create(
            team=make_team(),
            amount_usd=Decimal("0.5"),
            alert_webhook_url="https://hooks.example/planted",
        ),
        {"amount_usd": Decimal(20), "alert_webhook_url": "https://hooks.example/planted2"},
        (
            {"amount_usd": "0.5", "alert_webhook_url": "https://hooks.example/(secret)"},
            {"amount_usd": "20", "alert_webhook_url": "https://hooks.example/(secret) (changed)"},
        ),
    ),
    Price: (
        lambda: Price.objects.create(
            provider="openrouter",
            upstream_model="large",
            prompt_usd_per_mtok=Decimal(3),
            completion_usd_per_mtok=Decimal(15),
            valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
            source="manual",
        ),
        {"prompt_usd_per_mtok": Decimal("3.5")},
        ({"prompt_usd_per_mtok": "3"}, {"prompt_usd_per_mtok": "3.5"}),
    ),
    PriceTier: (
        lambda: PriceTier.objects.create(
            price=WALK[Price][0](),
            prompt_tokens_above=200_000,
            prompt_usd_per_mtok=Decimal(6),
            completion_usd_per_mtok=Decimal(22),
        ),
        {"prompt_tokens_above": 100_000},
        ({"prompt_tokens_above": 200_000}, {"prompt_tokens_above": 100_000}),
    ),
    MaskPattern: (
        lambda: MaskPattern.objects.create(name="patients", pattern=r"PATIENT-\d+"),
        {"position": 3},
        ({"position": 0}, {"position": 3}),
    ),
    User: (
        lambda: User.objects.create_user("ada", password="planted-password"),
        {"is_staff": True, "password": "md5$planted$hash"},
        (
            {"is_staff": False, "password": "(secret)"},
            {"is_staff": True, "password": "(another secret)"},
        ),
    ),
    Group: (
        lambda: Group.objects.create(name="operators"),
        {"name": "readers"},
        ({"name": "operators"}, {"name": "readers"}),
    ),
    GroupGrant: (
        lambda: GroupGrant.objects.create(group="llm-alder", team=make_team()),
        {"role": "lead"},
        ({"role": "member"}, {"role": "lead"}),
    ),
    Authenticator: (
        lambda: Authenticator.objects.create(
            user=User.objects.create_user("ada"), type="totp", data={"secret": "planted"}
        ),
        {"type": "recovery_codes", "data": {"seed": "planted"}},
        ({"type": "totp"}, {"type": "recovery_codes"}),
    ),
    ApiToken: (
        lambda: tokens.mint(User.objects.create_user("ada"), "ci").row,
        {"scope": "admin", "digest": "planted"},
        (
            {"scope": "read", "digest": "(secret)"},
            {"scope": "admin", "digest": "(another secret)"},
        ),
    ),
}


def test_each_model_is_audited_or_named_with_the_reason_why_not():
    known = {label_of(kind.model) for kind in auditing.KINDS}
    every = {label_of(model) for model in apps.get_models(include_auto_created=True)}

    assert known | auditing.PASSED_OVER.keys() == every
    assert not known & auditing.PASSED_OVER.keys()
    assert all(auditing.PASSED_OVER.values())


def test_each_audited_model_is_walked_here():
    assert WALK.keys() == {kind.model for kind in auditing.KINDS}


@pytest.mark.parametrize("model", WALK, ids=lambda model: model.__name__)
def test_a_row_is_noted_when_it_is_made_changed_and_deleted(model):
    make, changes, (before, after) = WALK[model]
    label, start = label_of(model), newest()

    row = make()
    made = [entry for entry in entries(start) if entry.kind == label][-1]
    assert (made.action, made.object_id, made.before) == ("create", str(row.pk), {})
    assert made.after

    # Saved again as it is: nothing has changed, so nothing is noted.
    start = newest()
    model.objects.get(pk=row.pk).save()
    assert entries(start) == []

    row = model.objects.get(pk=row.pk)
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()
    [changed] = entries(start)
    assert (changed.action, changed.kind, changed.name) == ("change", label, str(row))
    assert (changed.before, changed.after) == (before, after)

    start, pk = newest(), row.pk
    row.delete()
    gone = [entry for entry in entries(start) if entry.kind == label][-1]
    assert (gone.action, gone.object_id, gone.after) == ("delete", str(pk), {})
    assert (
        gone.before.items() >= after.items()
        or "(another secret)" in after.values()
        or "changed" in str(after)
    )

    assert trail.verify().is_sound
    assert "planted" not in repr(list(AuditEntry.objects.values()))
    assert SECRET not in repr(list(AuditEntry.objects.values()))


@pytest.mark.parametrize("model", WALK, ids=lambda model: model.__name__)
def test_a_change_whose_entry_cannot_be_written_is_not_made(model, monkeypatch):
    make, changes, _told = WALK[model]
    row = make()
    stored = model.objects.filter(pk=row.pk).values().get()

    def refuse(*_args, **_kwargs):
        raise DatabaseError("no room")

    monkeypatch.setattr(trail, "append", refuse)
    for name, value in changes.items():
        setattr(row, name, value)
    with pytest.raises(DatabaseError), transaction.atomic():
        row.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.get(pk=stored["id"]).delete()

    assert model.objects.filter(pk=stored["id"]).values().get() == stored


@pytest.mark.django_db(transaction=True)
def test_a_save_outside_of_a_transaction_is_taken_back_with_its_entry(monkeypatch):
    team = make_team()

    def refuse(*_args, **_kwargs):
        raise DatabaseError("no room")

    monkeypatch.setattr(trail, "append", refuse)
    team.name = "Alder"
    with pytest.raises(DatabaseError):
        team.save()

    assert Team.objects.get().name == ""


@pytest.mark.django_db(transaction=True)
def test_a_fixture_is_noted_too(tmp_path):
    path = tmp_path / "teams.json"
    path.write_text(
        '[{"model": "accounting.team", "pk": 5, "fields": {"slug": "alder", "created_at": "2026-01-01T00:00:00Z"}}]'
    )

    call_command("loaddata", str(path), verbosity=0)

    [entry] = entries()
    assert (entry.action, entry.name, entry.after["slug"]) == ("create", "alder", "alder")


def test_what_goes_with_a_row_is_noted_and_what_loses_it():
    provider = make_provider()
    credential = make_credential(provider)
    stays = make_deployment(make_provider("other"), credential=credential)
    goes = make_deployment(provider, credential=credential)
    start, number = newest(), str(provider.pk)

    provider.delete()

    told = {(entry.action, entry.kind, entry.object_id): entry for entry in entries(start)}
    assert set(told) == {
        ("delete", "routing.provider", number),
        ("delete", "routing.credential", str(credential.pk)),
        ("delete", "routing.deployment", str(goes.pk)),
        ("change", "routing.deployment", str(stays.pk)),
    }
    loosened = told["change", "routing.deployment", str(stays.pk)]
    assert loosened.before == {"credential": f"openrouter/main (#{credential.pk})"}
    assert loosened.after == {"credential": None}


def test_a_key_loses_its_project_and_its_owner():
    team, ada = make_team(), User.objects.create_user("ada")
    project = Project.objects.create(team=team, slug="web")
    make_key(team, project=project)
    row = VirtualKey.objects.get()
    row.owner = ada
    row.save()
    start = newest()

    Project.objects.all().delete()
    ada.delete()

    told = [
        (e.action, e.kind, e.before.keys(), e.team)
        for e in entries(start)
        if e.kind == "accounting.virtualkey"
    ]
    assert told == [
        ("change", "accounting.virtualkey", {"default_project": 0}.keys(), "alder"),
        ("change", "accounting.virtualkey", {"owner": 0}.keys(), "alder"),
    ]


def test_a_queryset_that_is_deleted_is_noted_row_by_row():
    for slug in ("alder", "birch", "cedar"):
        make_team(slug)
    start = newest()

    Team.objects.exclude(slug="birch").delete()

    assert sorted((e.action, e.name) for e in entries(start)) == [
        ("delete", "alder"),
        ("delete", "cedar"),
    ]


def test_groups_and_permissions_of_a_user_are_noted_at_either_end():
    ada, group = User.objects.create_user("ada"), Group.objects.create(name="operators")
    permission = Permission.objects.get(codename="add_virtualkey")
    start = newest()

    group.permissions.add(permission)
    ada.groups.add(group)
    ada.groups.add(group)  # nothing changes
    ada.user_permissions.set([permission])
    group.user_set.clear()

    assert [(e.kind, e.name, e.before, e.after) for e in entries(start)] == [
        (
            "auth.group",
            "operators",
            {"permissions": []},
            {"permissions": ["accounting.add_virtualkey"]},
        ),
        ("auth.user", "ada", {"groups": []}, {"groups": ["operators"]}),
        (
            "auth.user",
            "ada",
            {"user_permissions": []},
            {"user_permissions": ["accounting.add_virtualkey"]},
        ),
        ("auth.user", "ada", {"groups": ["operators"]}, {"groups": []}),
    ]


def test_who_loses_a_group_stands_in_the_entry_of_the_group():
    group = Group.objects.create(name="operators")
    User.objects.create_user("ada").groups.add(group)
    start = newest()

    group.delete()

    [gone] = entries(start)
    assert gone.before == {"name": "operators", "user": ["ada"]}


def test_a_roll_back_is_noted_row_by_row():
    make_alias("sonnet", make_deployment(make_provider()))
    versions.record_others()
    first = versions.newest()
    with versions.changes_by("ada"):
        Provider.objects.get().delete()
        make_provider("new")
    versions.record_others()
    start = newest()

    versions.roll_back(first, author="ada", seen_number=snapshot.version())

    told = sorted((e.action, e.kind, e.name) for e in entries(start))
    assert told == [
        ("create", "routing.credential", "openrouter/main"),
        ("create", "routing.deployment", "openrouter: anthropic/claude-sonnet-4.5"),
        ("create", "routing.provider", "openrouter"),
        ("create", "routing.routetarget", "sonnet #0 → openrouter: anthropic/claude-sonnet-4.5"),
        ("delete", "routing.provider", "new"),
    ]


def test_rows_made_at_once_and_updates_can_be_noted():
    with transaction.atomic():
        watch.note_created(Team.objects.bulk_create([Team(slug="alder"), Team(slug="birch")]))
    with watch.noting({Team: Team.objects.values_list("pk", flat=True)}):
        Team.objects.update(name="Trees")

    assert [(e.action, e.name, e.team) for e in entries()] == [
        ("create", "alder", "alder"),
        ("create", "birch", "birch"),
        ("change", "Trees", "alder"),
        ("change", "Trees", "birch"),
    ]


PAST_SAVE = {
    "update",
    "bulk_create",
    "bulk_update",
    "_raw_delete",
    "executemany",
    "abulk_create",
    "aupdate",
}
KNOWN_PAST_SAVE = {
    "accounting/audit/trail.py: append": "the trail itself",
    "accounting/price_changes.py: _add_rows": "watch.note_created",
    "accounting/budget_alerts.py": "whom the program told of a budget",
    "accounting/keys.py: rotate": "watch.noting",
    "accounting/ledger.py": "usage records and their sums",
    "accounting/recosting.py: _book": "adjustments, which say by whom and why",
    "accounting/rollups.py": "sums of usage records",
    "accounting/request_logs.py": "request logs",
    "accounting/snapshot.py: bump": "counts changes",
    "llmgateway/api/tokens.py: _note_use": "when a token was last used",
    "llmgateway/dashboard.py: fill": "a dictionary",
    "llmgateway/model_sync.py: apply": "watch.note_created",
    "routing/checks.py: store": "what a look at a provider found",
    "routing/snapshot.py: bump": "counts changes",
    "routing/state.py: _put_back": "within witnesses.replacing",
    "routing/state.py: _take_away": "within witnesses.replacing",
}


def written_past_save() -> set[str]:
    """Functions that write rows by statements of their own, as ``path: function``."""
    found = set()
    for path in sorted(
        path
        for room in ("accounting", "routing", "llmgateway")
        for path in (ROOT / room).rglob("*.py")
    ):
        if "migrations" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
                if any(_writes(call) for call in calls):
                    found.add(f"{path.relative_to(ROOT)}: {function.name}")
    return found


def _writes(call: ast.Call) -> bool:
    """A query is updated by names; most dictionaries are from another one."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in PAST_SAVE:
        return False
    if call.func.attr not in {"update", "aupdate"}:
        return True
    return bool(call.keywords) and not call.args


def test_each_place_that_writes_past_save_is_known():
    """A new one must note what it does (accounting/audit/watch.py), and be named above."""
    known = KNOWN_PAST_SAVE.keys()
    assert {
        place
        for place in written_past_save()
        if place not in known and place.split(":")[0] not in known
    } == set()
