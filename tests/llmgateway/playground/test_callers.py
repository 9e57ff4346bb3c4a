"""Who may send as which key."""

import pytest
from django.contrib.auth.models import AnonymousUser

from accounting import keys
from accounting.models import VirtualKey
from llmgateway.attribution import read_tags
from llmgateway.playground.callers import caller_of, headers_for


def names_for(user) -> set[str]:
    return set(caller_of(user).keys().values_list("name", flat=True))


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("lead", {"shared", "own", "colleague", "audited"}),
        ("member", {"own"}),
        ("colleague", {"colleague"}),
        ("auditor", set()),
        ("outsider", set()),
        ("stranger", {"foreign"}),
        ("clerk", set()),
        ("staff", {"shared", "own", "colleague", "audited", "foreign"}),
    ],
)
def test_leads_and_staff_send_as_any_key_and_members_as_their_own(people, who, expected):
    assert names_for(people[who]) == expected


def test_nobody_and_people_who_were_switched_off_send_as_no_key(people):
    people["lead"].is_active = False

    assert names_for(AnonymousUser()) == names_for(people["lead"]) == set()


def test_a_key_of_somebody_who_left_the_team_is_not_theirs_any_more(people):
    people["member"].memberships.all().delete()

    assert names_for(people["member"]) == set()


def test_a_revoked_key_is_none_and_an_expired_one_is_still_shown(people):
    row = VirtualKey.objects.get(name="own")
    row.expires_at = row.created_at
    row.save()
    assert names_for(people["member"]) == {"own"}

    keys.revoke(row, now=row.created_at)
    assert names_for(people["member"]) == set()


@pytest.mark.parametrize("name", ["ann", "ann@alder.example", "Zoë, the 1st", "x" * 150])
def test_the_tags_say_who_and_are_tags_whatever_the_name(name):
    headers = headers_for(name)
    tags = read_tags(headers["x-llmgateway-tags"])

    assert tags.startswith(",playground,playground:")
    assert headers["x-llmgateway-agent"] == "playground"
