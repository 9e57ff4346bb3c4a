"""The cast of the playground: people of each role in team alder, somebody of birch, and keys of both."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from accounting.models import Membership
from llmgateway.runtime import refresh_pictures
from tests.factories.accounting import make_key, make_team

ROLES = {"lead": "lead", "member": "member", "auditor": "auditor"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def people(db, nothing_in_force) -> dict[str, User]:
    """Who may do what; alder has a key of its own, the member's and a colleague's, birch has one."""
    alder, birch = make_team("alder"), make_team("birch")
    found = {
        name: User.objects.create_user(name)
        for name in ("lead", "member", "auditor", "outsider", "colleague")
    }
    for name, role in {**ROLES, "colleague": "member"}.items():
        Membership.objects.create(user=found[name], team=alder, role=role)
    found["stranger"] = User.objects.create_user("stranger")
    Membership.objects.create(user=found["stranger"], team=birch, role="lead")
    found["clerk"] = User.objects.create_user("clerk", is_staff=True)
    found["staff"] = User.objects.create_user("staff", is_staff=True)
    found["staff"].user_permissions.add(Permission.objects.get(codename="add_virtualkey"))
    make_key(alder, "shared")
    make_key(alder, "own", owner=found["member"])
    make_key(alder, "colleague", owner=found["colleague"])
    make_key(alder, "audited", owner=found["auditor"])
    make_key(birch, "foreign")
    refresh_pictures()
    return found
