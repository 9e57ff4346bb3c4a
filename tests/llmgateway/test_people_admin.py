"""Who may edit people and groups makes nobody mightier by it, themselves least of all."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.django_db
RIGHTS = ["add_user", "change_user", "delete_user", "view_user", "change_group", "view_group"]


@pytest.fixture
def clerk() -> User:
    """Of staff, with rights on people and on nothing else."""
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=RIGHTS))
    return clerk


@pytest.fixture
def desk(clerk) -> Client:
    """The clerk's browser."""
    client = Client()
    client.force_login(clerk)
    return client


def page_of(row: User | Group, action: str = "change") -> str:
    return reverse(f"admin:auth_{row._meta.model_name}_{action}", args=[row.pk])


def form_of(row: User, **more: str) -> dict[str, str]:
    inlines = {f"memberships-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    joined = {"date_joined_0": "2026-11-01", "date_joined_1": "12:00:00"}
    return {"username": row.username, "email": "new@example.com", **joined, **inlines, **more}


def test_rights_are_handed_out_by_superusers_only(desk, clerk, admin_client):
    person = User.objects.create_user("person")
    group = Group.objects.create(name="all")
    asked = {"is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": str(group.pk)}

    desk.post(page_of(person), form_of(person, **asked))
    person.refresh_from_db()
    assert person.email == "new@example.com"
    assert not person.is_staff
    assert not person.is_superuser
    assert not person.groups.exists()

    permission = Permission.objects.get(codename="view_logentry")
    desk.post(page_of(group), {"name": "renamed", "permissions": [str(permission.pk)]})
    group.refresh_from_db()
    assert group.name == "renamed"
    assert not group.permissions.exists()

    admin_client.post(page_of(person), form_of(person, **asked))
    person.refresh_from_db()
    assert person.is_staff
    assert person.is_superuser
    assert list(person.groups.all()) == [group]


def test_staff_are_changed_by_superusers_only(desk, clerk, admin_user):
    for colleague in (admin_user, clerk):
        assert desk.post(page_of(colleague), form_of(colleague)).status_code == 403
        words = {"password1": "a-new-Secret-7", "password2": "a-new-Secret-7"}
        address = reverse("admin:auth_user_password_change", args=[colleague.pk])
        assert desk.post(address, {**words, "usable_password": "true"}).status_code == 403
        assert desk.post(page_of(colleague, "delete"), {"post": "yes"}).status_code == 403
        colleague.refresh_from_db()
        assert colleague.email != "new@example.com"
        assert not colleague.check_password("a-new-Secret-7")
