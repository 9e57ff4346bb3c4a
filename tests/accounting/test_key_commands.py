"""manage.py create_key with its options, rotate_key, revoke_key and check_key."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from accounting import keys
from accounting.models import Membership, VirtualKey
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db
NAMED = ("--team", "alder", "--name", "laptop")


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def given(monkeypatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def check(monkeypatch, text: str, *words: str) -> tuple[str, int]:
    """What check_key prints, and its exit code."""
    given(monkeypatch, text)
    out = io.StringIO()
    try:
        call_command("check_key", *words, stdout=out)
    except SystemExit as ended:
        return out.getvalue(), int(str(ended.code))
    return out.getvalue(), 0


def test_a_key_is_made_with_an_owner_an_expiry_limits_and_aliases():
    team = make_team()
    Membership.objects.create(team=team, user=User.objects.create(username="ada"))

    printed = run(
        *("create_key", *NAMED, "--owner", "ada", "--expires", "2099-01-31", "--rpm", "5"),
        *("--tpm", "1000", "--concurrent", "2", "--alias", "claude-*", "--alias", "gpt-5"),
    )

    row = VirtualKey.objects.get()
    assert keys.is_well_formed(printed[:-1])
    assert row.owner is not None
    assert row.owner.username == "ada"
    assert row.expires_at == datetime(2099, 1, 31, tzinfo=UTC)
    assert [getattr(row, limit) for limit in keys.LIMITS] == [5, 1000, 2]
    assert row.allowed_aliases == ["claude-*", "gpt-5"]


def test_an_expiry_may_be_a_span_from_now():
    make_team()
    before = datetime.now(UTC)
    run("create_key", *NAMED, "--expires", "90d")
    expires_at = VirtualKey.objects.get().expires_at

    assert expires_at is not None
    assert before + timedelta(days=90) <= expires_at <= datetime.now(UTC) + timedelta(days=90)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--owner", "ada"), "There is no user 'ada'"),
        (("--owner", "bob"), "bob is not a member of team alder"),
        (("--expires", "soon"), "expires: 'soon' is no moment"),
        (("--expires", "2027-02-31"), "expires: '2027-02-31' is no moment"),
        (("--expires", "2001-01-01"), "expires: '2001-01-01' is not in the future"),
        (("--rpm", "0"), "rpm: '0' is no limit"),
        (("--tpm", "many"), "tpm: 'many' is no limit"),
        (("--concurrent", "99999999999"), "concurrent: '99999999999' is no limit"),
    ],
    ids=lambda value: value[0] + value[1] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told_and_no_key_is_made(words, why):
    make_team()
    User.objects.create(username="bob")

    with pytest.raises(CommandError, match=why):
        run("create_key", *NAMED, *words)
    assert not VirtualKey.objects.exists()


def test_all_that_is_wrong_is_told_at_once():
    make_team()

    with pytest.raises(CommandError, match=r"rpm: .*no project 'web'.*no user 'ada'"):
        run("create_key", *NAMED, "--project", "web", "--owner", "ada", "--rpm", "x")


def test_a_rotation_prints_the_new_key_and_nothing_else():
    old = make_key()

    printed = run("rotate_key", *NAMED, "--overlap", "2h")

    assert keys.find(printed[:-1]) == VirtualKey.objects.get(name="laptop")
    old.row.refresh_from_db()
    assert old.row.name.startswith("laptop (rotated ")
    assert old.row.expires_at is not None
    assert old.row.expires_at < datetime.now(UTC) + timedelta(hours=2, seconds=1)


def test_an_unknown_key_is_not_rotated_and_an_overlap_must_be_one():
    with pytest.raises(CommandError, match="Team 'alder' has no API key 'laptop'"):
        run("rotate_key", *NAMED)
    make_key()
    with pytest.raises(CommandError, match="'soon' is no span of time"):
        run("rotate_key", *NAMED, "--overlap", "soon")
    with pytest.raises(CommandError, match="from 0 to 90 days"):
        run("rotate_key", *NAMED, "--overlap", "91d")
    with pytest.raises(CommandError, match="--expires: 'soon' is no moment"):
        run("rotate_key", *NAMED, "--expires", "soon")
    assert VirtualKey.objects.count() == 1


def test_a_key_is_revoked_by_name_and_what_else_is_accepted_is_told():
    make_key()
    run("rotate_key", *NAMED)

    told = run("revoke_key", *NAMED)

    assert "alder/laptop (gw-" in told
    assert "is revoked" in told
    assert "of the same line is still accepted" in told
    assert VirtualKey.objects.get(name="laptop").revoked_at
    with pytest.raises(CommandError, match="was revoked on"):
        run("revoke_key", *NAMED)


def test_a_leaked_key_is_revoked_by_itself(monkeypatch):
    secret = make_key().secret
    given(monkeypatch, f" {secret}\n")

    told = run("revoke_key", "--stdin")

    assert secret not in told
    assert VirtualKey.objects.get().revoked_at
    given(monkeypatch, "gw-other")
    with pytest.raises(CommandError, match="not known here"):
        run("revoke_key", "--stdin")
    with pytest.raises(CommandError, match="--team and --name, or give it with --stdin"):
        run("revoke_key", "--team", "alder")


def test_a_key_is_checked_without_being_shown(monkeypatch):
    minted = make_key()

    told, code = check(monkeypatch, minted.secret + "\n")

    assert code == 0
    assert minted.secret not in told
    lines = dict(line.split(": ", 1) for line in told.splitlines())
    assert (lines["well formed"], lines["known"], lines["state"]) == ("yes", "yes", "on")
    assert (lines["team"], lines["name"], lines["owner"]) == ("alder", "laptop", "-")
    keys.revoke(minted.row, now=datetime.now(UTC))
    told, code = check(monkeypatch, minted.secret, "--json")
    assert code == 1
    assert json.loads(told)["state"] == "revoked"


@pytest.mark.parametrize(("text", "is_well_formed"), [("gw-cut", False), (keys.make_secret, True)])
def test_an_unknown_key_is_told_from_a_mistyped_one(monkeypatch, text, is_well_formed):
    told, code = check(monkeypatch, text if isinstance(text, str) else text(), "--json")

    assert code == 1
    assert json.loads(told) == {"well_formed": is_well_formed, "known": False}
