"""Which rows are refused, and with which words."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from routing import snapshot
from routing.models import Credential, Deployment, ModelAlias, Provider, Route, RouteTarget
from routing.models.provider import RETRY_STATUSES, kind_choices, validate_base_url
from tests.factories.routing import make_alias, make_credential, make_deployment, make_provider


def faults_of(row: models.Model) -> dict[str, list[str]]:
    """What is wrong with an unsaved row, by field."""
    try:
        row.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


@pytest.mark.parametrize(
    "url",
    [
        "https://openrouter.ai/api/v1",
        "http://localhost:8080/v1",
        "http://vllm/v1",  # a service in a compose file
        "https://10.0.0.1",
        "http://[::1]:8080/v1",
    ],
)
def test_addresses_of_servers_are_taken(url):
    validate_base_url(url)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("openrouter.ai/api/v1", "such as https"),
        ("ftp://openrouter.ai", "such as https"),
        ("https://", "such as https"),
        ("https:///v1", "such as https"),
        ("https://user:secret@openrouter.ai/v1", "secrets belong into a credential"),
        ("https://openrouter.ai/v1?key=secret", "secrets belong into a credential"),
        ("https://openrouter.ai/v1#part", "secrets belong into a credential"),
        ("https://open router.ai/v1", "valid URL"),
    ],
)
def test_other_addresses_are_refused(url, word):
    with pytest.raises(ValidationError, match=word):
        validate_base_url(url)


@pytest.mark.django_db
def test_the_least_provider_is_valid():
    provider = Provider(slug="openrouter", kind="openrouter")

    assert faults_of(provider) == {}
    assert provider.retry_statuses == RETRY_STATUSES
    assert str(provider) == "openrouter"


def test_every_kind_can_be_chosen():
    assert {name for name, _label in kind_choices()} == {
        "openrouter",
        "anthropic",
        "openai_compatible",
        "litellm_proxy",
        "litellm_sdk",
        "ollama",
        "demo",
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"kind": "unheard-of"}, "kind"),
        ({"slug": "two words"}, "slug"),
        ({"base_url": "nonsense"}, "base_url"),
        ({"idle_timeout_s": Decimal(0)}, "idle_timeout_s"),
        ({"retries_max": 11}, "retries_max"),
        ({"retry_statuses": [200]}, "retry_statuses"),
        ({"retry_statuses": [600]}, "retry_statuses"),
        ({"retry_statuses": [True]}, "retry_statuses"),
        ({"retry_statuses": ["503"]}, "retry_statuses"),
        ({"retry_statuses": {"503": 1}}, "retry_statuses"),
    ],
)
def test_a_wrong_setting_of_a_provider_is_refused_at_its_field(fields, name):
    row = Provider(**{"slug": "openrouter", "kind": "openrouter", **fields})

    assert name in faults_of(row)


@pytest.mark.django_db
def test_no_repeat_at_all_can_be_asked_for():
    row = Provider(slug="openrouter", kind="openrouter", retries_max=0, retry_statuses=[])

    assert faults_of(row) == {}


@pytest.mark.django_db
def test_the_database_itself_refuses_a_timeout_of_zero():
    with pytest.raises(IntegrityError), transaction.atomic():
        make_provider(idle_timeout_s=Decimal(0))


@pytest.mark.django_db
def test_two_credentials_of_a_provider_cannot_have_one_label():
    provider = make_provider()
    credential = make_credential(provider)

    assert str(credential) == "openrouter/main"
    again = Credential(provider=provider, label="main")
    again.seal("another")
    assert "that label already" in str(faults_of(again))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "name", "word"),
    [
        ({"parameters": [1]}, "parameters", "JSON object"),
        ({"traits": ["x"]}, "traits", "JSON object"),
        ({"traits": {"wings": 2}}, "traits", "Unknown quirk wings. Known are: "),
        ({"traits": {"model": "x"}}, "traits", "Unknown quirk model"),
        ({"upstream_model": ""}, "upstream_model", "blank"),
    ],
)
def test_a_wrong_setting_of_a_deployment_is_refused_at_its_field(fields, name, word):
    row = Deployment(**{"provider": make_provider(), "upstream_model": "model", **fields})

    assert word in str(faults_of(row)[name])


@pytest.mark.django_db
@pytest.mark.parametrize("emptied", [None, "", [], {}])
def test_a_field_that_was_emptied_in_a_form_is_an_empty_list_or_object(emptied):
    """What is left there would otherwise reach the picture, or the database would refuse it without a word."""
    provider = Provider(slug="openrouter", kind="openrouter", retry_statuses=emptied)
    assert faults_of(provider) == {}
    provider.save()
    make_credential(provider)
    row = Deployment(provider=provider, upstream_model="model", parameters=emptied, traits=emptied)
    assert faults_of(row) == {}
    row.save()
    make_alias("name", row)

    assert provider.retry_statuses == []
    assert (row.parameters, row.traits) == ({}, {})
    assert snapshot.build().exact["name"].routes[0].targets


@pytest.mark.django_db
def test_a_deployment_takes_no_credential_of_another_provider():
    other = make_credential(make_provider("other"))
    row = Deployment(provider=make_provider(), upstream_model="model", credential=other)

    assert faults_of(row) == {"credential": ["This credential belongs to another provider."]}


@pytest.mark.django_db
def test_a_model_is_listed_once_for_each_credential_and_once_for_all():
    provider = make_provider()
    credential = make_credential(provider)
    deployment = make_deployment(provider, "model")
    make_deployment(provider, "model", credential=credential)

    assert str(deployment) == "openrouter: model"
    again = Deployment(provider=provider, upstream_model="model")
    assert "listed for that provider already" in str(faults_of(again))
    again.credential = credential
    assert "listed for that provider and credential already" in str(faults_of(again))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "match", "word"),
    [
        ("claude", "wildcard", "needs a *"),
        ("claude-(", "regex", "Not a regular expression: missing"),
        ("(?=ahead)", "regex", "Not a regular expression"),  # RE2 knows no look-ahead
        ("claude", "somehow", "not a valid choice"),
    ],
)
def test_a_pattern_that_can_never_match_is_refused(name, match, word):
    assert word in str(faults_of(ModelAlias(name=name, match=match)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "match"), [("claude", "exact"), ("claude-*", "wildcard"), ("claude-.*", "regex")]
)
def test_names_and_patterns_are_taken(name, match):
    alias = ModelAlias(name=name, match=match)

    assert faults_of(alias) == {}
    assert str(alias) == name


@pytest.mark.django_db
def test_a_route_has_a_target_once():
    deployment = make_deployment(make_provider())
    route = make_alias("name", deployment).routes.get()

    assert str(route) == "name #0"
    assert str(route.targets.get()) == "name #0 → openrouter: anthropic/claude-sonnet-4.5"
    again = RouteTarget(route=route, deployment=deployment)
    assert "This route has that target already." in str(faults_of(again))
    assert (
        faults_of(RouteTarget(route=Route.objects.create(alias=route.alias), deployment=deployment))
        == {}
    )


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/v1", "http://metadata.google.internal/v1", "http://2852039166/v1"],
)
def test_a_base_url_that_may_not_be_called_is_refused(url):
    with pytest.raises(ValidationError, match="not called"):
        validate_base_url(url)


def test_a_base_url_on_a_machine_of_ones_own_is_taken():
    for url in ("http://127.0.0.1:4000", "http://litellm:4000", "http://[::1]:11434/v1"):
        validate_base_url(url)
