"""The pages beside the list of API keys: rotate, revoke, make many; each asks first and shows a secret once."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounting import keys
from accounting.models import Budget, Membership, VirtualKey
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db

ROTATE = reverse("admin:accounting_virtualkey_rotate")
REVOKE = reverse("admin:accounting_virtualkey_revoke")
UPLOAD = reverse("admin:accounting_virtualkey_upload")
LIST = reverse("admin:accounting_virtualkey_changelist")


def secrets_in(page) -> set[str]:
    return {
        word
        for word in re.findall(r"gw-[0-9A-Za-z]+", page.content.decode())
        if keys.is_well_formed(word)
    }


def chosen(admin_client, action: str, *rows: VirtualKey):
    return admin_client.post(LIST, {"action": action, "_selected_action": [r.pk for r in rows]})


def test_a_chosen_key_is_rotated_once_it_is_said_how(admin_client):
    old = make_key().row
    answer = chosen(admin_client, "rotate_chosen", old)
    assert answer.url == f"{ROTATE}?ids={old.pk}"
    asked = admin_client.get(answer.url).content.decode()
    assert "Rotate 1 key" in asked
    assert VirtualKey.objects.count() == 1

    page = admin_client.post(answer.url, {"overlap": "7d"})

    new = VirtualKey.objects.get(name="laptop")
    old.refresh_from_db()
    (secret,) = secrets_in(page)
    assert keys.digest_of(secret) == new.digest
    assert "no-store" in page["Cache-Control"]
    assert old.expires_at is not None
    assert timedelta(days=6) < old.expires_at - datetime.now(UTC) < timedelta(days=7)
    assert "is accepted until" in page.content.decode()
    assert "1 API key rotated" in page.content.decode()
    assert not any(secret in entry.get_change_message() for entry in LogEntry.objects.all())


def test_many_are_rotated_at_once_and_those_that_cannot_be_are_told(admin_client):
    one, two, gone = (make_key(name=name).row for name in ("one", "two", "gone"))
    keys.revoke(gone, now=datetime.now(UTC))
    address = f"{ROTATE}?ids={one.pk},{two.pk},{gone.pk},x"
    asked = admin_client.get(address).content.decode()
    assert "Rotate 2 keys" in asked
    assert "alder/gone was revoked: make a new one" in asked

    page = admin_client.post(address, {"overlap": "0m"})

    assert "2 API keys rotated" in page.content.decode()
    assert {keys.digest_of(word) for word in secrets_in(page)} == set(
        VirtualKey.objects.filter(name__in=("one", "two")).values_list("digest", flat=True)
    )
    assert keys.state_of(VirtualKey.objects.get(pk=one.pk), now=datetime.now(UTC)) == "expired"


def test_an_overlap_that_is_not_offered_rotates_nothing(admin_client):
    row = make_key().row
    page = admin_client.post(f"{ROTATE}?ids={row.pk}", {"overlap": "500d"})

    assert "Select a valid choice" in page.content.decode()
    assert VirtualKey.objects.count() == 1


def test_chosen_keys_are_revoked_once_that_is_confirmed(admin_client):
    row = make_key().row
    new = keys.rotate(row, timedelta(days=1), now=datetime.now(UTC)).row
    other = make_key(name="other").row
    answer = chosen(admin_client, "revoke_chosen", new, other)
    asked = admin_client.get(answer.url).content.decode()
    assert "Revoke 2 keys" in asked
    assert "is of the same line and stays accepted" in asked
    assert not VirtualKey.objects.filter(revoked_at__isnull=False).exists()

    page = admin_client.post(answer.url, follow=True).content.decode()

    assert "2 API keys revoked for good" in page
    assert set(VirtualKey.objects.filter(revoked_at=None)) == {row}
    again = admin_client.get(answer.url).content.decode()
    assert "was revoked on" in again
    assert "Revoke 0" not in again
    assert "0 API keys revoked" in admin_client.post(answer.url, follow=True).content.decode()


@pytest.mark.parametrize("address", [ROTATE, REVOKE], ids=["rotate", "revoke"])
def test_without_a_key_there_is_nothing_to_ask(admin_client, address):
    assert admin_client.get(address).url == LIST
    assert admin_client.get(address + "?ids=99999").url == LIST


@pytest.mark.parametrize("name", ["rotate", "revoke"])
def test_a_keys_own_page_leads_there(admin_client, name):
    row = make_key().row
    page = admin_client.get(reverse("admin:accounting_virtualkey_change", args=[row.pk]))
    assert f"/{name}-one" in page.content.decode()

    answer = admin_client.get(reverse(f"admin:accounting_virtualkey_{name}_one", args=[row.pk]))

    assert answer.url.endswith(f"/{name}/?ids={row.pk}")


def test_who_may_only_look_can_do_none_of_it(client):
    row = make_key().row
    looker = User.objects.create_user("looker", password="x", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_virtualkey"))
    client.force_login(looker)

    for address in (f"{ROTATE}?ids={row.pk}", f"{REVOKE}?ids={row.pk}", UPLOAD):
        assert client.get(address).status_code == 403
        assert client.post(address, {"overlap": "1d"}).status_code == 403
    row.refresh_from_db()
    assert row.revoked_at is None
    assert VirtualKey.objects.count() == 1


def test_states_are_shown_and_told_apart_by_the_filter(admin_client):
    now = datetime.now(UTC)
    rows = {word: make_key(name=f"key-{word}").row for word in ("on", "off", "expired", "revoked")}
    VirtualKey.objects.filter(name="key-off").update(enabled=False)
    VirtualKey.objects.filter(name="key-expired").update(expires_at=now)
    keys.revoke(rows["revoked"], now=now)
    rows["rotated"] = make_key(name="key-rotated").row
    keys.rotate(rows["rotated"], timedelta(days=1), now=now)

    for word, row in rows.items():
        page = admin_client.get(LIST, {"state": word}).content.decode()
        assert row.shown in page, word
        for other in rows.values():
            assert (other.shown in page) == (other == row), (word, other)


def test_a_revoked_key_and_the_limits_of_a_rotated_one_cannot_be_edited(admin_client):
    row = make_key().row
    keys.rotate(row, timedelta(days=1), now=datetime.now(UTC))
    address = reverse("admin:accounting_virtualkey_change", args=[row.pk])
    form = {"team": row.team_id, "name": "x", "allowed_aliases": "[]", "requests_per_minute": "5"}
    admin_client.post(address, form)
    row.refresh_from_db()
    assert (row.name, row.requests_per_minute) == ("x", None)

    keys.revoke(row, now=datetime.now(UTC))
    admin_client.post(address, {**form, "name": "y"})
    row.refresh_from_db()
    assert row.name == "x"
    assert "revoked" in admin_client.get(address).content.decode()


def test_an_owner_must_be_of_the_team(admin_client):
    team, ada = make_team(), User.objects.create(username="ada")
    form = {"team": team.pk, "name": "x", "allowed_aliases": "[]", "owner": ada.pk}
    address = reverse("admin:accounting_virtualkey_add")
    page = admin_client.post(address, form).content.decode()
    assert "ada is not a member of team alder" in page
    Membership.objects.create(team=team, user=ada)

    assert secrets_in(admin_client.post(address, form))
    assert VirtualKey.objects.get().owner == ada


def test_a_key_that_was_rotated_stays_as_long_as_its_successor(admin_client):
    old = make_key().row
    new = keys.rotate(old, timedelta(days=1), now=datetime.now(UTC)).row
    Budget.objects.create(key=new, amount_usd=Decimal(1))
    address = reverse("admin:accounting_virtualkey_delete", args=[old.pk])

    assert (
        "counts against the budgets of alder/laptop" in admin_client.get(address).content.decode()
    )
    admin_client.post(address, {"post": "yes"})
    assert VirtualKey.objects.count() == 2
    form = {"action": "delete_selected", "_selected_action": [old.pk, new.pk], "post": "yes"}
    admin_client.post(LIST, form)
    assert VirtualKey.objects.count() == 0


def upload(admin_client, text: str | bytes, **fields: str):
    data = text if isinstance(text, bytes) else text.encode()
    return admin_client.post(UPLOAD, {"file": SimpleUploadedFile("k.csv", data), **fields})


def test_a_file_is_shown_first_and_then_made_and_downloaded(admin_client):
    make_team()
    text = "team,name,rpm\nalder,one,5\nalder,two,\n"
    assert "Make many from a file" in admin_client.get(LIST).content.decode()
    assert admin_client.get(UPLOAD).status_code == 200
    page = upload(admin_client, text).content.decode()
    assert "2 keys would be made" in page
    assert VirtualKey.objects.count() == 0

    answer = admin_client.post(UPLOAD, {"text": text, "make": "1"})

    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    assert "no-store" in answer["Cache-Control"]
    made = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["name"] for row in made] == ["one", "two"]
    assert {keys.digest_of(row["key"]) for row in made} == set(
        VirtualKey.objects.values_list("digest", flat=True)
    )
    assert VirtualKey.objects.get(name="one").requests_per_minute == 5
    again = admin_client.post(UPLOAD, {"text": text, "make": "1"}).content.decode()
    assert "has a key with that name already: one" in again


def test_a_file_with_faults_makes_nothing(admin_client):
    make_team()
    page = upload(admin_client, "team,name\nalder,one\ncedar,two\n", make="1").content.decode()

    assert "Line 3: There is no team &#x27;cedar&#x27;" in page
    assert VirtualKey.objects.count() == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "is empty"), (b"\xff\xfe", "is not UTF-8"), (b"a" * 1_048_577, "larger than 1 MB")],
    ids=["empty", "binary", "large"],
)
def test_what_is_no_file_of_keys_is_told(admin_client, data, why):
    assert why in upload(admin_client, data).content.decode()
    assert "Choose a file" in admin_client.post(UPLOAD, {}).content.decode()
