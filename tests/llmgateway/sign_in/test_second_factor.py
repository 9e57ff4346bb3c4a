"""A second factor: set up, asked for after the password, throttled, required of staff, taken away."""

import io

import pytest
from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from accounting.audit import sign_ins
from accounting.models import AuditEntry, Membership
from llmgateway.api import tokens
from llmgateway.api.models import ApiToken
from llmgateway.sign_in import second_factor
from tests.factories.accounting import make_team
from tests.llmgateway.sign_in.people import (
    CODE,
    PASSWORD,
    SECOND_FACTOR,
    SET_UP,
    SIGN_IN,
    code_of,
    enter_password,
    is_signed_in,
    set_up,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def audit_is_unhurried(monkeypatch):
    """Only so many refusals a minute are noted by a process, which other tests of this one may have used up."""
    monkeypatch.setattr(sign_ins, "_refusals", sign_ins.Refusals(30))


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("root", password=PASSWORD)


@pytest.fixture
def birch() -> User:
    """Somebody of another team."""
    user = User.objects.create_user("bo", password=PASSWORD)
    Membership.objects.create(user=user, team=make_team("birch"))
    return user


@pytest.fixture
def guarded(root) -> tuple[User, str]:
    """Somebody with a second factor, and its secret."""
    client = Client()
    enter_password(client, "root")
    return root, set_up(client)


def recovery_codes(user: User) -> list[str]:
    return Authenticator.objects.get(user=user, type="recovery_codes").wrap().generate_codes()


def test_it_is_set_up_with_a_picture_and_a_code_and_recovery_codes_are_shown(client, root):
    enter_password(client, "root")
    page = client.get(SET_UP).content.decode()
    secret = client.session["mfa.totp.secret"]
    assert "data:image/svg+xml;base64," in page
    assert secret in page
    answer = client.post(SET_UP, {"code": code_of(secret)}, follow=True)
    text = answer.content.decode()
    assert all(code in text for code in recovery_codes(root))
    assert secret not in str(Authenticator.objects.values_list("data"))
    kinds = AuditEntry.objects.filter(kind="mfa.authenticator", action="create")
    assert {entry.actor for entry in kinds} == {"root"}
    assert secret not in str(list(kinds.values()))


def test_a_wrong_code_sets_nothing_up(client, root):
    enter_password(client, "root")
    client.get(SET_UP)
    answer = client.post(SET_UP, {"code": "not one"})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.content.decode()
    assert not Authenticator.objects.exists()


def test_the_password_alone_lets_nobody_in(client, guarded):
    answer = enter_password(client, "root", next="/admin/accounting/team/")
    assert answer.url == CODE
    assert not is_signed_in(client)
    assert client.get("/admin/").status_code == 302
    assert client.get(SECOND_FACTOR).status_code == 302

    _user, secret = guarded
    answer = client.post(CODE, {"code": code_of(secret)})
    assert answer.url == "/admin/accounting/team/"
    assert client.get("/admin/").status_code == 200
    assert AuditEntry.objects.filter(action="sign in", actor="root").count() == 2


def test_a_code_is_taken_once_also_by_another_worker(client, guarded):
    _user, secret = guarded
    code = code_of(secret, later=1)
    enter_password(client, "root")
    assert client.post(CODE, {"code": code}).status_code == 302

    other = Client()
    enter_password(other, "root")
    answer = other.post(CODE, {"code": code})
    assert answer.status_code == 200
    assert "used before" in answer.content.decode()
    assert not is_signed_in(other)


def test_a_recovery_code_lets_in_once(client, guarded):
    user, _secret = guarded
    code = recovery_codes(user)[3]
    enter_password(client, "root")
    client.post(CODE, {"code": code})
    assert is_signed_in(client)

    other = Client()
    enter_password(other, "root")
    assert other.post(CODE, {"code": code}).status_code == 200
    assert not is_signed_in(other)


def test_the_page_for_codes_is_nobodys_without_a_password(client, guarded):
    _user, secret = guarded
    assert client.get(CODE).url == SIGN_IN
    assert client.post(CODE, {"code": code_of(secret)}).url == SIGN_IN


def test_wrong_codes_are_throttled_from_wherever_they_come(guarded):
    _user, secret = guarded
    for number in range(5):
        client = Client(REMOTE_ADDR=f"198.51.100.{number}")
        enter_password(client, "root")
        answer = client.post(CODE, {"code": "000000"})
    assert answer.status_code == 429
    client = Client(REMOTE_ADDR="203.0.113.9")
    enter_password(client, "root")
    answer = client.post(CODE, {"code": code_of(secret, later=1)})
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    assert "wrong codes" in answer.content.decode()
    assert not is_signed_in(client)
    assert AuditEntry.objects.filter(action="refused", name="root").count() == 5
    assert "000000" not in str(list(AccessAttempt.objects.values()))


def test_wrong_codes_lock_nobody_elses_password(client, guarded, birch):
    for number in range(5):
        attacker = Client(REMOTE_ADDR=f"198.51.100.{number}")
        enter_password(attacker, "root")
        attacker.post(CODE, {"code": "000000"})
    assert enter_password(client, "bo").url == "/usage/"


def test_a_lost_phone_is_forgotten_by_a_command_which_is_audited(client, guarded):
    user, _secret = guarded
    out = io.StringIO()
    call_command("reset_second_factor", "root", stdout=out)
    assert "root is gone" in out.getvalue()
    assert not Authenticator.objects.filter(user=user).exists()
    assert AuditEntry.objects.filter(kind="mfa.authenticator", action="delete").count() == 2
    enter_password(client, "root")
    assert is_signed_in(client)

    call_command("reset_second_factor", "root", stdout=out)
    assert "no second factor" in out.getvalue()
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("reset_second_factor", "nobody")


def test_staff_are_led_to_set_one_up_where_it_is_required(client, root, settings):
    settings.TWO_FACTOR = "required"
    enter_password(client, "root")
    for page in ("/admin/", "/usage/", "/usage/teams/", "/admin/explain/", "/api/docs/x"):
        answer = client.get(page)
        if page.startswith("/api/"):
            assert answer.status_code == 403
            assert answer.json()["error"]["type"] == "permission_denied"
        else:
            assert answer.url == SECOND_FACTOR
    assert "Set it up now" in client.get(SECOND_FACTOR).content.decode()
    set_up(client)
    assert client.get("/admin/").status_code == 200


def test_where_it_is_required_nothing_goes_round_it(client, root, settings):
    settings.TWO_FACTOR = "required"
    client.force_login(root)
    assert client.get("/admin/", headers={"authorization": "Basic eDp5"}).url == SECOND_FACTOR
    answer = client.get("/api/teams/", headers={"authorization": "Basic eDp5"})
    assert answer.status_code == 403
    assert client.post("/usage/teams/alder/keys/").url == SECOND_FACTOR


def test_tokens_of_the_api_need_none(client, root, settings):
    settings.TWO_FACTOR = "required"
    made = tokens.mint(user=root, name="ci", scope=ApiToken.Scope.ADMIN)
    headers = {"authorization": f"Bearer {made.secret}"}
    assert client.get("/api/teams/", headers=headers).status_code == 200


def test_people_who_are_not_staff_are_asked_for_nothing(client, birch, settings):
    settings.TWO_FACTOR = "required"
    assert enter_password(client, "bo").url == "/usage/"
    assert client.get("/usage/").status_code == 200


def test_an_identity_provider_sees_to_its_own_second_factors_unless_told(root, settings):
    session = {second_factor.METHODS: [{"method": "socialaccount"}]}
    settings.TWO_FACTOR = "required"
    assert not second_factor.is_missing(root, session)
    assert second_factor.is_missing(root, {})
    settings.TWO_FACTOR = "always"
    assert second_factor.is_missing(root, session)


def test_taking_it_away_asks_for_a_code_or_the_password_when_some_time_has_passed(client, guarded):
    _user, secret = guarded
    enter_password(client, "root")
    client.post(CODE, {"code": code_of(secret)})
    session = client.session
    for record in session[second_factor.METHODS]:
        record["at"] -= 3600
    session.save()

    answer = client.get("/usage/second-factor/remove/")
    assert answer.url.startswith("/usage/sign-in/again/?next=")
    assert client.post(answer.url, {"password": "wrong"}).status_code == 200
    assert "_auth_user_id" in client.session
    again = "/usage/sign-in/again/code/?next=/usage/second-factor/remove/"
    assert client.get(again).status_code == 200
    assert client.post(again, {"code": "000000"}).status_code == 200
    answer = client.post(
        "/usage/sign-in/again/",
        {"password": PASSWORD, "next": "/usage/second-factor/remove/"},
    )
    assert answer.url == "/usage/second-factor/remove/"
    assert client.get(answer.url).status_code == 200
    assert client.post(answer.url).url == SECOND_FACTOR
    assert not Authenticator.objects.exists()


def test_new_recovery_codes_make_the_old_ones_worthless(client, guarded):
    user, secret = guarded
    old = recovery_codes(user)
    enter_password(client, "root")
    client.post(CODE, {"code": code_of(secret)})
    client.get("/usage/second-factor/recovery-codes/new/")
    text = client.post("/usage/second-factor/recovery-codes/new/", follow=True).content.decode()
    assert all(code in text for code in recovery_codes(user))
    assert not any(code in text for code in old)


def test_off_means_off(client, guarded, settings):
    settings.TWO_FACTOR = "off"
    enter_password(client, "root")
    assert is_signed_in(client)
    assert client.get(SET_UP).status_code == 404
    assert "passwords only" in client.get(SECOND_FACTOR).content.decode()


def test_nobody_else_sees_second_factors_in_the_admin(client, guarded, settings):
    client.force_login(guarded[0])
    assert client.get("/admin/mfa/authenticator/").status_code == 404
    assert client.get("/admin/account/emailaddress/").status_code == 404


def test_who_may_not_open_the_admin_is_told_so(client, birch):
    enter_password(client, "bo", next="/admin/")
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "may not open the admin" in answer.content.decode()


def test_a_new_sealing_key_seals_second_factors_anew(client, guarded, settings):
    from cryptography.fernet import Fernet

    _user, secret = guarded
    old = settings.SEALING_KEYS
    settings.SEALING_KEYS = [Fernet.generate_key().decode(), *old]
    out = io.StringIO()
    call_command("rotate_secrets", stdout=out)
    assert "2 secrets of second factors" in out.getvalue()
    settings.SEALING_KEYS = settings.SEALING_KEYS[:1]
    enter_password(client, "root")
    assert client.post(CODE, {"code": code_of(secret)}).status_code == 302


def test_who_is_signed_in_is_not_sent_round_in_a_circle(root):
    client = Client()
    client.force_login(root)
    for aim in (SIGN_IN, f"{SIGN_IN}?next={SIGN_IN}"):
        answer = client.get(SIGN_IN, {"next": aim})
        assert (answer.status_code, answer["Location"]) == (302, "/usage/")
    assert client.get(SIGN_IN, {"next": "/usage/budgets/"})["Location"] == "/usage/budgets/"
