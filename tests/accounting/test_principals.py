"""Tests of accounting/principals.py: who may see what."""

import pytest
from django.contrib.auth.models import AnonymousUser, User

from accounting.models import Membership, UsageRecord
from accounting.principals import Principal, of_roles, principal_of
from tests.factories.accounting import make_team, make_usage

LEAD = of_roles("ada", [("alder", "lead")])
MEMBER = of_roles("ben", [("alder", "member")])
AUDITOR = of_roles("cid", [("alder", "auditor")])
OUTSIDER = of_roles("dan", [("birch", "lead")])
STAFF = Principal("eve", is_staff=True)


def test_leads_and_auditors_see_all_of_their_team_and_members_their_own():
    assert LEAD.may_see("alder", "ben")
    assert AUDITOR.may_see("alder", "ben")
    assert MEMBER.may_see("alder", "ben")
    assert not MEMBER.may_see("alder", "ada")
    assert not MEMBER.may_see_team("alder")
    assert not OUTSIDER.may_see("alder", "dan")
    assert STAFF.may_see("alder", "")


def test_only_leads_and_staff_change_a_team():
    assert [p.may_lead("alder") for p in (LEAD, STAFF, MEMBER, AUDITOR, OUTSIDER)] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("principal", "seen"),
    [
        (LEAD, {"ada", "ben", ""}),
        (AUDITOR, {"ada", "ben", ""}),
        (MEMBER, {"ben"}),
        (OUTSIDER, {"dan"}),
        (STAFF, {"ada", "ben", "", "dan"}),
        (Principal(""), set()),
    ],
    ids=["lead", "auditor", "member", "outsider", "staff", "nobody"],
)
def test_rows_are_narrowed_to_what_may_be_seen(principal, seen):
    for team, member in [("alder", "ada"), ("alder", "ben"), ("alder", ""), ("birch", "dan")]:
        make_usage(team=team, member=member)

    rows = UsageRecord.objects.filter(principal.filter())

    assert {row.member for row in rows} == seen


@pytest.mark.django_db
def test_a_person_is_what_their_memberships_say():
    user = User.objects.create_user("ada")
    Membership.objects.create(team=make_team("alder"), user=user, role="lead")
    Membership.objects.create(team=make_team("birch"), user=user, role="member")

    found = principal_of(user)

    assert (found.led, found.joined) == ({"alder"}, {"alder", "birch"})
    assert not found.is_outsider


@pytest.mark.django_db
def test_somebody_in_no_team_nobody_signed_in_and_somebody_locked_out_see_nothing():
    assert principal_of(AnonymousUser()).is_outsider
    assert principal_of(User.objects.create_user("ada")).is_outsider
    assert principal_of(User(username="eve", is_staff=True, is_active=False)).is_outsider
