"""Keys: their form, what is kept of them, and who may come in."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from accounting import keys, snapshot
from accounting.errors import KeyMissing, KeyRefused
from accounting.models import Project, VirtualKey
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
