"""Keys: their form, what is kept of them, and who may come in."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from accounting import keys, snapshot
from accounting.errors import KeyMissing, KeyRefused
from accounting.models import Budget, Membership, Project, VirtualKey
from tests.factories.accounting import make_key, make_team

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def picture_restored():
    held = snapshot.current()
    yield
    snapshot.put_in_force(held)


def take_in_force() -> None:
    snapshot.put_in_force(snapshot.build())


def test_a_key_is_a_prefix_40_random_and_6_check_characters():
    secret = keys.make_secret()

    assert secret.startswith("gw-")
    assert len(secret) == 3 + 40 + 6
    assert set(secret[3:]) <= set(keys.ALPHABET)
    assert keys.is_well_formed(secret)
    assert keys.make_secret() != secret


def test_check_characters_are_the_same_for_ever():
    """Keys that were handed out must be recognised by every later version."""
    assert keys.check_characters("0" * 40) == keys.check_characters("0" * 40)
    assert len({keys.check_characters(mark * 40) for mark in keys.ALPHABET}) == 62
    assert keys.check_characters("") == "000000"  # the CRC-32 of nothing is 0


@pytest.mark.parametrize("position", [3, 20, 42, 43, 48])
def test_a_single_wrong_character_is_noticed(position):
    secret = keys.make_secret()
    other = "A" if secret[position] != "A" else "B"

    assert not keys.is_well_formed(secret[:position] + other + secret[position + 1 :])


@pytest.mark.parametrize("secret", ["", "gw-", "sk-" + "a" * 46, "gw-" + "a" * 45])
def test_other_texts_are_no_keys(secret):
    assert not keys.is_well_formed(secret)


def test_only_the_digest_is_kept():
    assert keys.digest_of("gw-abc") == hashlib.sha256(b"gw-abc").hexdigest()
    assert len(keys.digest_of("\udcff")) == 64  # bytes that are no UTF-8 can come in a header


@pytest.mark.django_db
def test_a_minted_key_is_stored_without_its_secret():
    minted = make_key(name="laptop")
    row = VirtualKey.objects.get(pk=minted.row.pk)

    stored = " ".join(str(value) for value in vars(row).values())
    assert minted.secret not in stored
    assert row.digest == keys.digest_of(minted.secret)
    assert row.shown == f"{minted.secret[:7]}…{minted.secret[-4:]}"
    assert str(row) == "alder/laptop"


@pytest.mark.django_db
def test_two_keys_of_a_team_cannot_have_one_name_but_keys_of_two_teams_can():
    make_key(name="laptop")

    with pytest.raises(ValidationError, match="a key with that name already"):
        make_key(name="laptop")
    make_key(make_team("birch"), name="laptop")
    assert VirtualKey.objects.count() == 2


@pytest.mark.django_db
def test_the_project_of_another_team_is_refused():
    project = Project.objects.create(team=make_team("birch"), slug="web")

    with pytest.raises(ValidationError, match="belongs to another team"):
        make_key(project=project)


@pytest.mark.django_db
@pytest.mark.parametrize("allowed", [[""], [5]])
def test_allowed_names_are_texts(allowed):
    with pytest.raises(ValidationError, match="Enter a list of names"):
        make_key(allowed_aliases=allowed)


@pytest.mark.django_db
def test_a_key_knows_its_team_project_and_limits(picture_restored):
    team = make_team()
    project = Project.objects.create(team=team, slug="web")
    secret = make_key(team, project=project, allowed_aliases=["claude-*"]).secret
    take_in_force()

    key = keys.authenticate([secret], now=NOW)

    assert (key.team, key.project, key.name) == ("alder", "web", "laptop")
    assert key.allowed == ("claude-*",)


@pytest.mark.django_db
def test_the_first_known_candidate_counts(picture_restored):
    secret = make_key(make_team("birch"), "phone").secret
    take_in_force()

    assert keys.authenticate(["sk-ant-other", secret], now=NOW).name == "phone"


def test_no_candidate_is_told_how_to_send_one():
    with pytest.raises(KeyMissing, match="Authorization: Bearer"):
        keys.authenticate([], now=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("secret", "word"),
    [
        ("sk-ant-other", "not known here"),
        ("gw-" + "a" * 40 + keys.check_characters("a" * 40), "not known here"),
        ("gw-" + "a" * 46, "mistyped or cut off"),
        ("gw-cut", "mistyped or cut off"),
    ],
)
def test_an_unknown_key_is_told_from_a_mistyped_one(picture_restored, secret, word):
    make_key()
    take_in_force()

    with pytest.raises(KeyRefused, match=word) as caught:
        keys.authenticate([secret], now=NOW)
    assert secret not in caught.value.message


@pytest.mark.django_db
def test_a_key_that_is_switched_off_is_refused(picture_restored):
    minted = make_key()
    minted.row.enabled = False
    minted.row.save()
    take_in_force()

    with pytest.raises(KeyRefused, match="'laptop' is switched off"):
        keys.authenticate([minted.secret], now=NOW)


@pytest.mark.django_db
def test_a_team_that_is_switched_off_takes_its_keys_with_it_and_no_others(picture_restored):
    alder, birch = make_team("alder"), make_team("birch")
    refused, accepted = make_key(alder), make_key(birch)
    alder.enabled = False
    alder.save()
    take_in_force()

    with pytest.raises(KeyRefused, match="switched off"):
        keys.authenticate([refused.secret], now=NOW)
    assert keys.authenticate([accepted.secret], now=NOW).team == "birch"


@pytest.mark.django_db
def test_a_key_ends_at_its_moment(picture_restored):
    secret = make_key(expires_at=NOW).secret
    take_in_force()

    assert keys.authenticate([secret], now=NOW - timedelta(seconds=1)).team == "alder"
    with pytest.raises(KeyRefused, match="expired on 2026-11-20 12:00 UTC"):
        keys.authenticate([secret], now=NOW)


@pytest.mark.django_db
def test_a_key_that_is_refused_does_not_hide_one_that_may_come_in(picture_restored):
    revoked, good = make_key(name="old"), make_key(name="new")
    revoked.row.enabled = False
    revoked.row.save()
    take_in_force()

    assert keys.authenticate([revoked.secret, good.secret], now=NOW).name == "new"
    with pytest.raises(KeyRefused, match="'old' is switched off"):
        keys.authenticate([revoked.secret, "gw-other"], now=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize("emptied", [None, "", {}])
def test_an_emptied_list_of_allowed_names_allows_all(emptied):
    row = VirtualKey(team=make_team(), name="laptop", allowed_aliases=emptied)

    keys.mint_for(row)

    assert VirtualKey.objects.get().allowed_aliases == []


DAY = timedelta(days=1)


@pytest.mark.django_db
def test_a_revoked_key_is_refused_for_good_with_a_message_of_its_own(picture_restored):
    minted = make_key()

    assert keys.revoke(minted.row, now=NOW)
    assert not keys.revoke(minted.row, now=NOW + DAY)  # it was already
    minted.row.enabled = True
    minted.row.save(update_fields=["enabled"])
    take_in_force()

    with pytest.raises(KeyRefused, match="'laptop' was revoked on 2026-11-20 12:00 UTC") as caught:
        keys.authenticate([minted.secret], now=NOW + DAY)
    assert minted.secret not in caught.value.message
    assert VirtualKey.objects.get().revoked_at == NOW


@pytest.mark.django_db
def test_both_keys_are_taken_while_a_rotation_overlaps_and_then_the_new_one(picture_restored):
    old = make_key()
    new = keys.rotate(old.row, DAY, now=NOW)
    take_in_force()

    for secret in (old.secret, new.secret):
        assert keys.authenticate([secret], now=NOW + DAY - timedelta(seconds=1)).name == "laptop"
    assert keys.authenticate([new.secret], now=NOW + DAY).name == "laptop"
    with pytest.raises(KeyRefused, match="It was rotated: use the key that replaced it"):
        keys.authenticate([old.secret], now=NOW + DAY)


@pytest.mark.django_db
def test_the_new_key_takes_over_what_was_set_and_the_old_one_gets_another_name():
    team = make_team()
    wish = keys.Wish(
        project=Project.objects.create(team=team, slug="web"),
        owner=User.objects.create(username="ada"),
        allowed_aliases=["claude-*"],
        requests_per_minute=5,
        tokens_per_minute=700,
        concurrent_requests=2,
    )
    old = keys.mint_for(keys.row_for(team, "laptop", wish)).row
    new = keys.rotate(old, DAY, now=NOW).row
    old.refresh_from_db()

    assert (old.name, old.expires_at) == ("laptop (rotated 2026-11-20)", NOW + DAY)
    assert (new.name, new.expires_at, new.rotated_from) == ("laptop", None, old)
    assert (new.team, new.default_project, new.owner) == (team, wish.project, wish.owner)
    assert new.allowed_aliases == old.allowed_aliases == ["claude-*"]
    assert [getattr(new, limit) for limit in keys.LIMITS] == [5, 700, 2]
    assert [getattr(old, limit) for limit in keys.LIMITS] == [None, None, None]  # the newest's hold


@pytest.mark.django_db
def test_a_second_rotation_on_one_day_finds_a_name_too_and_the_line_keeps_its_own(picture_restored):
    first = make_key(name="n" * 64)
    second = keys.rotate(first.row, DAY, now=NOW)
    third = keys.rotate(second.row, DAY, now=NOW)
    take_in_force()

    assert sorted(VirtualKey.objects.values_list("name", flat=True)) == [
        "n" * 40 + " (rotated 2026-11-20, 2)",  # 40 + 24: no longer than a name may be
        "n" * 43 + " (rotated 2026-11-20)",
        "n" * 64,
    ]
    names = {keys.authenticate([key.secret], now=NOW).name for key in (first, second, third)}
    assert names == {"n" * 64}


@pytest.mark.django_db
def test_a_keys_budgets_move_to_the_new_one():
    old = make_key().row
    budget = Budget.objects.create(key=old, amount_usd=Decimal(5))
    new = keys.rotate(old, DAY, now=NOW).row
    budget.refresh_from_db()

    assert budget.key == new


@pytest.mark.django_db
def test_a_rotated_key_lives_as_long_as_the_old_one_was_made_to_and_the_old_one_no_longer():
    old = make_key().row
    VirtualKey.objects.update(created_at=NOW - 80 * DAY, expires_at=NOW + 10 * DAY)
    new = keys.rotate(old, 30 * DAY, now=NOW).row
    old.refresh_from_db()

    assert new.expires_at == NOW + 90 * DAY  # 80 + 10
    assert old.expires_at == NOW + 10 * DAY
    assert keys.rotate(new, DAY, now=NOW, expires_at=NOW + DAY).row.expires_at == NOW + DAY


@pytest.mark.django_db
def test_a_key_is_rotated_once_and_never_once_it_was_revoked():
    row = make_key().row
    new = keys.rotate(row, DAY, now=NOW).row

    with pytest.raises(ValidationError, match="rotated already: rotate alder/laptop"):
        keys.rotate(row, DAY, now=NOW)
    keys.revoke(new, now=NOW)
    with pytest.raises(ValidationError, match="was revoked: make a new one"):
        keys.rotate(new, DAY, now=NOW)
    assert VirtualKey.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-1, 91])
def test_an_overlap_has_its_bounds(days):
    with pytest.raises(ValidationError, match="from 0 to 90 days"):
        keys.rotate(make_key().row, days * DAY, now=NOW)


@pytest.mark.django_db
def test_a_state_is_one_word():
    row = make_key(expires_at=NOW + DAY).row
    assert keys.state_of(row, now=NOW) == "on"
    assert keys.state_of(row, now=NOW + DAY) == "expired"
    keys.rotate(row, DAY, now=NOW)
    assert keys.state_of(row, now=NOW) == "rotated"
    row.enabled = False
    assert keys.state_of(row, now=NOW) == "off"
    keys.revoke(row, now=NOW)
    assert keys.state_of(row, now=NOW) == "revoked"


@pytest.mark.django_db
def test_a_key_is_owned_by_a_member_or_by_staff():
    team, ada = make_team(), User.objects.create(username="ada")
    Membership.objects.create(team=make_team("birch"), user=ada)

    assert keys.problem_with_owner(team, None) == ""
    assert keys.problem_with_owner(team, User(is_staff=True)) == ""
    assert "ada is not a member of team alder" in keys.problem_with_owner(team, ada)
    Membership.objects.create(team=team, user=ada)
    assert keys.problem_with_owner(team, ada) == ""
