"""Tests of the trail's pages: the admin's, /usage/audit/, and the files of both, for everybody who may come."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client
from django.urls import reverse

from accounting.audit import actors, trail
from accounting.audit.trail import Draft
from accounting.models import AuditEntry, Budget, Membership
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db

LIST = "/admin/accounting/auditentry/"
PAGES = (LIST, f"{LIST}export/csv/", f"{LIST}export/jsonl/")
PAGE = "/usage/audit/"
FILES = (f"{PAGE}?format=csv", f"{PAGE}?format=jsonl")
ODD = "<script>alert(1)</script>"


@pytest.fixture
def people() -> dict[str, Client]:
    """Each signed in, but nobody; alder's entries are there, birch's, and some of no team."""
    alder, birch = make_team("alder"), make_team("birch")
    rows = {
        "superuser": User.objects.create_superuser("sue"),
        "staff with the permission": User.objects.create_user("vera", is_staff=True),
        "staff": User.objects.create_user("stan", is_staff=True),
        "lead": User.objects.create_user("ada"),
        "auditor": User.objects.create_user("cid"),
        "member": User.objects.create_user("ben"),
        "outsider": User.objects.create_user("dan"),
        "lead who left": User.objects.create_user("eve", is_active=False),
    }
    permission = Permission.objects.get(codename="view_auditentry")
    rows["staff with the permission"].user_permissions.add(permission)
    for name, role in (
        ("lead", "lead"),
        ("auditor", "auditor"),
        ("member", "member"),
        ("lead who left", "lead"),
    ):
        Membership.objects.create(team=alder, user=rows[name], role=role)
    Membership.objects.create(team=birch, user=rows["outsider"], role="member")
    alder.name = ODD
    alder.save()
    make_key(birch, "birch-secret-project")
    clients = {"nobody": Client()}
    for name, user in rows.items():
        clients[name] = Client()
        clients[name].force_login(user)
    return clients


def body(answer) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode()


SEES_ALL = ("superuser", "staff with the permission")
SEES_TEAM = ("lead", "auditor")
SEES_NOTHING = ("staff", "member", "outsider")


@pytest.mark.parametrize("address", [PAGE, *FILES])
@pytest.mark.parametrize("name", [*SEES_ALL, *SEES_TEAM, *SEES_NOTHING, "nobody", "lead who left"])
def test_each_sees_what_is_theirs_to_see(people, name, address):
    answer = people[name].get(address)

    if name in SEES_NOTHING:
        assert answer.status_code == 404
        return
    if name in ("nobody", "lead who left"):
        assert answer.status_code == 302  # to the sign-in
        return
    shown = body(answer)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert "alder" in shown
    assert ("birch-secret-project" in shown) == (name in SEES_ALL)
    assert ("sign in" in shown) == (name in SEES_ALL)
    assert ODD not in shown or "format=" in address


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("name", [*SEES_ALL, *SEES_TEAM, *SEES_NOTHING, "nobody"])
def test_the_admin_pages_are_for_who_may_see_all(people, name, address):
    answer = people[name].get(address)

    assert answer.status_code == (200 if name in SEES_ALL else 403 if name == "staff" else 302)


def test_a_team_that_is_asked_for_by_name_is_shown_to_its_own_people_only(people):
    found = body(people["lead"].get(PAGE, {"team": "birch"}))

    assert "Nothing matches" in found


def test_conditions_narrow_what_is_shown_and_what_is_exported(people):
    lead = people["lead"]

    shown = body(lead.get(PAGE, {"kind": "accounting.team", "action": "change", "name": "alder"}))
    lines = body(lead.get(PAGE, {"kind": "accounting.team", "action": "change", "format": "jsonl"}))

    [entry] = [json.loads(line) for line in lines.splitlines()]
    assert (entry["before"], entry["after"]) == ({"name": ""}, {"name": ODD})
    assert "Nothing matches" in shown  # its name is ODD since
    assert body(lead.get(PAGE, {"actor": "nobody-of-that-name"})).count("Nothing matches") == 1


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-13-01"},
        {"from": "0001-01-01", "to": "9999-12-31"},
        {"before": "x"},
        {"before": "9" * 40},
        {"name": "\0", "kind": "\0"},
    ],
    ids=["no month", "first and last day", "no number", "large", "zero bytes"],
)
def test_an_odd_address_is_answered(people, query):
    assert people["lead"].get(PAGE, query).status_code == 200


def test_a_page_leads_to_the_older_entries(people):
    draft = Draft("change", "accounting.team", "1", "alder", "alder")
    trail.append([draft] * 60)

    first = people["lead"].get(PAGE)
    older = people["lead"].get(PAGE + first.context["next_address"])

    numbers = [one.entry.number for answer in (first, older) for one in answer.context["entries"]]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(first.context["entries"]) == 50
    assert len(older.context["entries"]) > 10
    assert older.context["next_address"] == ""


def test_a_page_asks_the_database_the_same_however_much_it_shows(
    people, django_assert_max_num_queries
):
    trail.append(
        [Draft("change", "accounting.team", "1", "alder", "alder", {"name": "a"}, {"name": "b"})]
        * 60
    )

    with django_assert_max_num_queries(8):
        people["lead"].get(PAGE)


def test_an_entry_is_shown_side_by_side_and_as_text(people):
    entry = AuditEntry.objects.get(kind="accounting.team", action="change")

    shown = body(
        people["superuser"].get(reverse("admin:accounting_auditentry_change", args=[entry.pk]))
    )

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert ODD not in shown
    assert entry.digest in shown
    assert 'name="_save"' not in shown
    assert "Delete" not in shown


def test_no_form_changes_or_deletes_an_entry(people):
    entry = AuditEntry.objects.first()
    page = reverse("admin:accounting_auditentry_change", args=[entry.pk])

    answers = [
        people["superuser"].post(page, {"name": "x"}),
        people["superuser"].post(
            reverse("admin:accounting_auditentry_delete", args=[entry.pk]), {"post": "yes"}
        ),
        people["superuser"].post(reverse("admin:accounting_auditentry_add"), {"name": "x"}),
        people["superuser"].post(LIST, {"action": "delete_selected", "_selected_action": entry.pk}),
    ]

    assert {answer.status_code for answer in answers} <= {200, 302, 403}
    assert AuditEntry.objects.filter(pk=entry.pk).exists()
    assert trail.verify().is_sound


def test_an_object_leads_to_its_own_history_and_back(people):
    key = make_key().row
    key.name = "desktop"
    key.save()
    page = reverse("admin:accounting_virtualkey_change", args=[key.pk])

    history = f"{LIST}?object=accounting.virtualkey:{key.pk}"
    assert history in body(people["superuser"].get(page))
    rows = people["superuser"].get(history)
    assert [row.action for row in rows.context["cl"].result_list] == ["change", "create"]
    assert page in body(rows)


@pytest.mark.parametrize(
    "name", ["accounting_team", "accounting_budget", "routing_provider", "auth_user", "auth_group"]
)
def test_each_sort_of_page_has_the_way_to_the_trail_for_who_may_see_it(people, name):
    from django.contrib.auth.models import Group

    from tests.factories.routing import make_provider

    row = {
        "accounting_team": make_team,
        "accounting_budget": lambda: Budget.objects.create(team=make_team(), amount_usd=5),
        "routing_provider": make_provider,
        "auth_user": lambda: User.objects.get(username="ada"),
        "auth_group": lambda: Group.objects.create(name="operators"),
    }[name]()
    page = reverse(f"admin:{name}_change", args=[row.pk])

    assert "?object=" in body(people["superuser"].get(page))
    stan = User.objects.get(username="stan")
    app, model = name.split("_")
    stan.user_permissions.add(
        Permission.objects.get(content_type__app_label=app, codename=f"view_{model}")
    )
    assert "?object=" not in body(people["staff"].get(page))


def test_filters_of_the_admin_list_hold_for_its_files_too(people):
    rows = list(
        csv.DictReader(
            io.StringIO(
                body(
                    people["superuser"].get(f"{LIST}export/csv/?kind=accounting.team&action=change")
                )
            )
        )
    )

    assert [(row["kind"], row["action"]) for row in rows] == [("accounting.team", "change")]
    assert json.loads(rows[0]["after"]) == {"name": ODD}
    assert people["superuser"].get(f"{LIST}export/xlsx/").status_code == 404


def test_no_cell_of_a_file_is_a_formula(people):
    with actors.acting(lambda: actors.Actor("=cmd|' /C calc'!A0", "admin")):
        trail.append([Draft("change", "accounting.team", "1", "@SUM(1)", "alder")])

    rows = list(csv.reader(io.StringIO(body(people["lead"].get(FILES[0])))))

    assert {"'=cmd|' /C calc'!A0", "'@SUM(1)"} <= set(rows[-1])


def test_the_lines_of_a_file_hold_enough_to_verify_it_elsewhere(people):
    lines = body(people["superuser"].get(FILES[1])).splitlines()

    entries = [trail.entry_from(json.loads(line)) for line in lines]
    assert trail.examine(entries).is_sound
    assert len(entries) == AuditEntry.objects.count()


@pytest.mark.django_db(transaction=True)
async def test_a_server_sends_a_file_piece_by_piece(monkeypatch):
    from asgiref.sync import sync_to_async

    from accounting.audit import exports

    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 2)

    def prepare() -> User:
        trail.append([Draft("change", "accounting.team", str(n)) for n in range(5)])
        return User.objects.create_superuser("sue")

    client = AsyncClient()
    await client.aforce_login(await sync_to_async(prepare)())
    answer = await client.get(FILES[1])

    pieces = [piece async for piece in answer.streaming_content]
    assert [piece.count(b"\n") for piece in pieces][:2] == [2, 2]
    assert sum(piece.count(b"\n") for piece in pieces) == await AuditEntry.objects.acount()
