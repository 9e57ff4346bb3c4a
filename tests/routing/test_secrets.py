"""Secrets of providers: sealed at rest, opened with any of the keys, printed by nobody."""

import io

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.core.management import CommandError, call_command

from routing import secrets
from routing.errors import SecretUnreadable
from routing.models import Credential
from tests.factories.routing import SECRET, make_credential, make_provider

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def old_key(settings):
    settings.SEALING_KEYS = [OLD]


@pytest.mark.usefixtures("old_key")
def test_a_sealed_secret_can_be_opened_again():
    sealed = secrets.seal(f"  {SECRET}\n")

    assert SECRET not in sealed.token
    assert sealed.last_four == SECRET[-4:]
    assert sealed.sealed_at.tzinfo is not None
    assert secrets.open_sealed(sealed.token).reveal() == SECRET


@pytest.mark.usefixtures("old_key")
def test_the_same_secret_is_sealed_differently_each_time():
    assert secrets.seal(SECRET).token != secrets.seal(SECRET).token


@pytest.mark.usefixtures("old_key")
def test_a_short_secret_shows_no_last_characters():
    assert secrets.seal("x" * 11).last_four == ""
    assert secrets.seal("x" * 12).last_four == "xxxx"


@pytest.mark.usefixtures("old_key")
def test_an_opened_secret_is_not_printed():
    opened = secrets.open_sealed(secrets.seal(SECRET).token)

    assert SECRET not in f"{opened} {opened!r} {[opened]} {opened!s}"


def test_a_secret_sealed_with_another_key_cannot_be_opened(settings):
    settings.SEALING_KEYS = [OLD]
    token = secrets.seal(SECRET).token
    settings.SEALING_KEYS = [NEW]

    with pytest.raises(SecretUnreadable, match="GATEWAY_SEALING_KEYS"):
        secrets.open_sealed(token)
    with pytest.raises(SecretUnreadable, match="GATEWAY_SEALING_KEYS"):
        secrets.reseal(token)


@pytest.mark.usefixtures("old_key")
@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAA"])
def test_a_token_that_was_changed_cannot_be_opened(token):
    with pytest.raises(SecretUnreadable):
        secrets.open_sealed(token)


@pytest.mark.django_db
def test_after_a_rotation_the_old_key_is_not_needed_any_more(settings):
    settings.SEALING_KEYS = [OLD]
    provider = make_provider()
    make_credential(provider, "main")
    make_credential(provider, "spare", "another-secret-of-ours")
    settings.SEALING_KEYS = [NEW, OLD]
    out = io.StringIO()

    call_command("rotate_secrets", stdout=out)

    settings.SEALING_KEYS = [NEW]
    assert out.getvalue() == "2 credentials sealed with the newest key.\n"
    opened = {
        row.label: secrets.open_sealed(row.sealed_secret).reveal()
        for row in Credential.objects.all()
    }
    assert opened == {"main": SECRET, "spare": "another-secret-of-ours"}


@pytest.mark.django_db
def test_a_rotation_that_cannot_open_one_secret_changes_none(settings):
    settings.SEALING_KEYS = [NEW]
    provider = make_provider()
    make_credential(provider, "lost")
    settings.SEALING_KEYS = [OLD]
    make_credential(provider, "main")
    before = dict(Credential.objects.values_list("label", "sealed_secret"))

    with pytest.raises(CommandError, match=r"Credential openrouter/lost.*Nothing was changed"):
        call_command("rotate_secrets", stdout=io.StringIO())

    assert dict(Credential.objects.values_list("label", "sealed_secret")) == before


def test_every_column_that_holds_a_sealed_secret_is_known_to_the_rotation():
    sealed = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.name.startswith("sealed_") and field.name != "sealed_at"
    }
    # Versions of the configuration hold copies of credentials; versions.reseal() is their part of it.
    assert sealed == {"routing.Credential.sealed_secret"}
