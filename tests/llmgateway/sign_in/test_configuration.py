"""Settings of identity providers: none is none, halves are told of."""

import io
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from llmgateway.sign_in.configuration import Oidc, Saml, oidc_apps, provider_id, saml_apps
from llmgateway.sign_in.groups import read_groups


def test_nothing_set_is_no_provider():
    assert oidc_apps(Oidc(name="Example")) == []
    assert saml_apps(Saml(name="Example")) == []


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (Oidc(issuer="https://a.example"), "GATEWAY_OIDC_CLIENT_ID and GATEWAY_OIDC_CLIENT_SECRET"),
        (Oidc(client_id="a", secret="b"), "GATEWAY_OIDC_ISSUER"),
        (Oidc(issuer="http://a.example", client_id="a", secret="b"), "https://"),
        (Oidc(issuer="a.example", client_id="a", secret="b"), "https://"),
    ],
    ids=["no client", "no issuer", "no TLS", "no address"],
)
def test_half_of_openid_connect_is_told_of(told, word):
    with pytest.raises(ImproperlyConfigured, match=word):
        oidc_apps(told)


def test_half_of_saml_is_told_of(tmp_path, monkeypatch):
    none = tmp_path / "none.xml"
    none.write_text("<html>log in first</html>")
    for told, word in (
        (Saml(entity_id="a"), "GATEWAY_SAML_METADATA_URL or"),
        (Saml(metadata_url="https://a.example", metadata_file="b"), "not both"),
        (Saml(metadata_url="ftp://a.example"), "https://"),
        (Saml(metadata_file=str(tmp_path / "absent.xml")), "GATEWAY_SAML_METADATA_FILE: "),
        (Saml(metadata_file=str(none)), "names no entityID"),
    ):
        with pytest.raises(ImproperlyConfigured, match=word):
            saml_apps(told)
    monkeypatch.setattr("llmgateway.sign_in.configuration.find_spec", lambda _name: None)
    with pytest.raises(ImproperlyConfigured, match="make setup EXTRAS=saml"):
        saml_apps(Saml(metadata_url="https://a.example"))
    assert "onelogin" not in str(sys.exc_info())


def test_scopes_are_added_and_another_issuer_is_another_provider():
    told = Oidc("https://a.example", "a", "b", "A", ("groups", "email"))
    (app,) = oidc_apps(told)
    assert app["settings"]["scope"] == ["openid", "profile", "email", "groups"]
    assert app["provider_id"] == provider_id("oidc", "https://a.example")
    assert provider_id("oidc", "https://b.example") != app["provider_id"]


@pytest.mark.parametrize(
    ("told", "claim", "groups"),
    [
        ({"groups": ["a", "b"]}, "groups", ("a", "b")),
        ({"groups": "a"}, "groups", ("a",)),
        ({"groups": [1, None, "", "a"]}, "groups", ("a",)),
        ({"groups": {"a": 1}}, "groups", ()),
        ({}, "groups", ()),
        ({"https://x.example/groups": ["a"]}, "https://x.example/groups", ("a",)),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ("a",)),
        ({"realm_access": ["roles"]}, "realm_access.roles", ()),
    ],
    ids=["list", "word", "mixed", "mapping", "none", "address", "inside", "not inside"],
)
def test_groups_are_read_however_they_are_told(told, claim, groups):
    assert read_groups(told, claim) == groups


def said() -> str:
    out = io.StringIO()
    call_command("sign_in_addresses", stdout=out)
    return out.getvalue()


def test_a_command_prints_what_the_provider_must_be_told(settings):
    assert "No identity provider" in said()
    settings.PUBLIC_URL = "https://gateway.example"
    oidc = oidc_apps(Oidc("https://a.example", "a", "planted-secret", "A"))
    saml = saml_apps(Saml(metadata_url="https://b.example/metadata", name="B"))
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": oidc}, "saml": {"APPS": saml}}
    text = said()
    back = provider_id("oidc", "https://a.example")
    assert f"https://gateway.example/usage/sign-in/from/{back}/" in text
    assert "https://gateway.example/usage/sign-in/saml/acs/" in text
    assert "planted-secret" not in text
