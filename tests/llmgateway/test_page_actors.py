"""Who is named in the trail: the person on a page, where they are, the command, and who was not let in."""

import json
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from accounting.audit import actors, sign_ins
from accounting.models import AuditEntry, RequestLog, Team
from llmgateway.environment import env_networks
from llmgateway.page_actors import client_address
from routing.models import Credential
from tests.factories.accounting import make_request_log, make_team
from tests.factories.routing import SECRET, make_credential, make_provider

PASSWORD = "planted-password-of-ada"


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setenv("PROXIES", "10.0.0.0/8, 2001:db8::1")
    return env_networks("PROXIES")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # nobody's word is believed who is no proxy of ours
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the first was told by the second
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:51234", "2001:db8::9"),
        ("10.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("2001:db8::1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("", "203.0.113.9", ""),
    ],
    ids=[
        "no proxy", "forged", "proxy", "forged before the proxy", "two proxies", "only proxies", "proxy tells nothing",
        "proxy tells nonsense", "with a port", "with brackets", "sixth version", "proxy of the sixth version",
        "mapped", "socket",
    ],
)  # fmt: skip
def test_the_address_is_the_nearest_that_no_proxy_of_ours_has(
    networks, peer, forwarded_for, address
):
    assert client_address(peer, forwarded_for, networks) == address


def test_a_network_that_is_none_stops_the_start(monkeypatch):
    from django.core.exceptions import ImproperlyConfigured

    monkeypatch.setenv("PROXIES", "10.0.0.0/99")
    with pytest.raises(ImproperlyConfigured, match="PROXIES"):
        env_networks("PROXIES")


@pytest.mark.parametrize(
    ("words", "name", "via"),
    [
        (["manage.py", "import_config", "x.yaml"], "import_config", "command"),
        (["manage.py", "create_key"], "create_key", "command"),
        (["manage.py", "serve"], "gateway", "gateway"),
        (["manage.py", "runserver"], "gateway", "gateway"),
        (["manage.py"], "gateway", "gateway"),
        (["manage.py", "--help"], "gateway", "gateway"),
    ],
    ids=["import_config", "create_key", "serve", "runserver", "nothing", "help"],
)
def test_a_command_acts_in_its_own_name(words, name, via):
    found = actors.of_command_line(words)

    assert (found.name, found.via) == (name, via)
    assert ("@" in found.address) == (via == "command")


def test_an_account_without_a_name_is_a_number():
    with patch("accounting.audit.actors.pwd.getpwuid", side_effect=KeyError):
        assert actors.account().partition("@")[0].isdecimal()


def sign_in(client: Client, name: str, password: str = PASSWORD, **headers: str):
    return client.post(
        reverse("account_login"), {"username": name, "password": password}, **headers
    )


@pytest.mark.django_db
def test_a_person_is_named_with_where_they_are(settings, networks):
    settings.TRUSTED_PROXIES = networks
    ada = User.objects.create_superuser("ada", password=PASSWORD)
    team, client = make_team(), Client()
    came_by = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}

    sign_in(client, "ada", **came_by)
    page = reverse("admin:accounting_team_changelist")
    client.post(page, {"action": "switch_off", "_selected_action": team.pk}, **came_by)
    client.post(reverse("admin:logout"), **came_by)

    signed_in, changed, signed_out = AuditEntry.objects.filter(actor="ada").order_by("number")
    assert [e.via for e in (signed_in, changed, signed_out)] == ["page", "admin", "admin"]
    assert {(e.actor, e.actor_id, e.address) for e in (signed_in, changed, signed_out)} == {
        ("ada", ada.pk, "203.0.113.9")
    }
    assert [e.action for e in (signed_in, changed, signed_out)] == ["sign in", "change", "sign out"]
    assert (changed.before, changed.after) == ({"enabled": True}, {"enabled": False})


@pytest.mark.django_db
def test_who_is_not_let_in_is_noted_without_what_they_typed(monkeypatch):
    monkeypatch.setattr(sign_ins, "_refusals", sign_ins.Refusals(30))
    ada = User.objects.create_superuser("ada", password=PASSWORD)

    sign_in(Client(), "ada", "a guess that was planted")
    sign_in(Client(), PASSWORD, "ada")  # in the wrong field

    known, unknown = AuditEntry.objects.filter(action="refused").order_by("number")
    assert (known.actor, known.name, known.object_id, known.address) == (
        "nobody",
        "ada",
        str(ada.pk),
        "127.0.0.1",
    )
    assert (unknown.actor, unknown.name, unknown.object_id) == (
        "nobody",
        "a name that nobody has",
        "",
    )
    assert "planted" not in repr(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_refusals_are_bounded_and_those_passed_over_are_counted(monkeypatch):
    counted = sign_ins.Refusals(3)
    monkeypatch.setattr(sign_ins, "_refusals", counted)
    now_s = [600.0]
    monkeypatch.setattr(sign_ins.time, "monotonic", lambda: now_s[0])

    for _ in range(10):
        sign_ins.note_failure("eve")
    now_s[0] += 60
    sign_ins.note_failure("eve")

    told = [e.after for e in AuditEntry.objects.filter(action="refused").order_by("number")]
    assert told == [{}, {}, {}, {"refusals_not_told_of_before": 7}]


@pytest.mark.django_db
def test_a_sign_in_that_seals_the_password_anew_says_so(settings):
    User.objects.create_superuser("ada", password=PASSWORD)
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]

    sign_in(Client(), "ada")

    [changed] = AuditEntry.objects.filter(action="change")
    assert (changed.before, changed.after) == (
        {"password": "(secret)"},
        {"password": "(another secret)"},
    )


@pytest.mark.django_db
def test_a_page_that_is_only_looked_at_leaves_no_entry(admin_client):
    team = make_team()
    start = AuditEntry.objects.count()

    for address in ("/admin/", reverse("admin:accounting_team_change", args=[team.pk]), "/usage/"):
        admin_client.get(address)

    assert AuditEntry.objects.count() == start


@pytest.mark.django_db
def test_a_key_that_is_made_in_the_admin_is_noted_without_its_secret(admin_client):
    team = make_team()

    answer = admin_client.post(
        reverse("admin:accounting_virtualkey_add"),
        {"team": team.pk, "name": "laptop", "allowed_aliases": "[]", "enabled": "on"},
    )

    secret = answer.context["secret"]
    [made] = AuditEntry.objects.filter(kind="accounting.virtualkey")
    assert (made.action, made.actor, made.via, made.team) == ("create", "admin", "admin", "alder")
    assert made.after["digest"] == "(secret)"
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert secret not in everything
    assert secret[7:-4] not in everything


@pytest.mark.django_db
def test_a_secret_that_is_replaced_is_noted_without_either(admin_client):
    provider = make_provider()
    row = make_credential(provider)
    page = reverse("admin:routing_credential_change", args=[row.pk])

    admin_client.post(
        page,
        {"provider": provider.pk, "label": "main", "secret": SECRET[::-1] + "0123", "weight": 1},
    )

    changed = AuditEntry.objects.get(kind="routing.credential", action="change")
    assert changed.before["sealed_secret"] == "(secret)"
    assert changed.after["sealed_secret"] == "(another secret)"
    assert changed.after["last_four"] == "0123"
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    for secret in (SECRET, SECRET[::-1], Credential.objects.get().sealed_secret):
        assert secret not in everything


@pytest.mark.django_db
def test_a_test_of_a_connection_uses_its_secrets(admin_client):
    provider = make_provider(kind="demo")

    admin_client.get(reverse("admin:routing_provider_test_connection", args=[provider.pk]))

    [used] = AuditEntry.objects.filter(action="use")
    assert (used.kind, used.name, used.actor) == ("routing.provider", "openrouter", "admin")
    assert used.after == {"how": "Tested the connection, with its credentials."}


@pytest.mark.django_db
def test_a_request_log_that_is_opened_is_noted_with_whose_it_is(admin_client):
    row = make_request_log()

    admin_client.get(reverse("admin:accounting_requestlog_change", args=[row.pk]))
    admin_client.get(reverse("admin:accounting_requestlog_change", args=["absent"]))

    [used] = AuditEntry.objects.filter(action="use")
    assert (used.kind, used.object_id, used.team) == ("accounting.requestlog", row.pk, "alder")
    assert used.after == {"how": "Looked at what was kept, masked.", "bodies": 0}
    assert RequestLog.objects.get() == row


@pytest.mark.django_db
def test_an_import_is_noted_by_whom_the_process_is(monkeypatch):
    from llmgateway.configuration import import_text

    monkeypatch.setattr(
        actors._Process, "actor", actors.of_command_line(["manage.py", "import_config"])
    )
    import_text("version: 1\nteams:\n  alder: {projects: [web]}\n", dry_run=False)
    import_text("version: 1\nteams:\n  birch: {projects: [web]}\n", dry_run=True)
    import_text("version: 1\nteams:\n  alder: {projects: [web]}\n", dry_run=False)

    assert list(
        AuditEntry.objects.order_by("number").values_list("actor", "via", "action", "kind", "name")
    ) == [
        ("import_config", "command", "create", "accounting.team", "alder"),
        ("import_config", "command", "create", "accounting.project", "alder/web"),
    ]
    assert Team.objects.count() == 1


def test_who_acts_ends_with_the_page():
    before = actors.current()
    with actors.acting(lambda: actors.Actor("ada", "page")):
        assert actors.current().name == "ada"
    assert actors.current() == before
