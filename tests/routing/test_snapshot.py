"""The picture of routing: what is in it, what is left out, and how other processes learn that it has changed."""

from decimal import Decimal

import pytest
from cryptography.fernet import Fernet

from conversion.dialects import Dialect
from routing import snapshot
from routing.errors import SnapshotUnbuilt
from routing.models import Provider, RouteTarget
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)


@pytest.fixture
def picture_restored():
    held = snapshot.in_force()
    yield
    snapshot.put_in_force(held)


@pytest.mark.django_db
def test_a_picture_holds_the_whole_way_from_a_name_to_a_secret():
    provider = make_provider(
        base_url="https://upstream.test/v1/",
        connect_timeout_s=Decimal("1.5"),
        retries_max=1,
        retry_statuses=[503],
    )
    make_credential(provider, weight=4)
    make_alias("name", make_deployment(provider, "model", context_window_tokens=1000))

    picture = snapshot.build()

    [route] = picture.exact["name"].routes
    [target] = route.targets
    assert target.upstream_model == "model"
    assert target.context_window_tokens == 1000
    assert target.weight == 1
    assert target.provider is picture.providers["openrouter"]
    assert target.provider.kind.dialect is Dialect.OPENAI_CHAT
    assert target.provider.base_url == "https://upstream.test/v1"
    assert target.provider.timeouts.connect_s == 1.5
    assert target.provider.retries.statuses == {503}
    [credential] = target.credentials
    assert credential.secret.reveal() == SECRET
    assert credential.weight == 4
    assert SECRET not in repr(picture)
    assert picture.warnings == ()


@pytest.mark.django_db
def test_without_rows_there_is_an_empty_picture():
    picture = snapshot.build()

    assert (picture.number, picture.exact, picture.patterns, picture.providers) == (0, {}, (), {})


@pytest.mark.django_db
def test_an_empty_address_is_the_kinds_own():
    make_provider()

    assert snapshot.build().providers["openrouter"].base_url == "https://openrouter.ai/api/v1"


@pytest.mark.django_db
def test_what_is_switched_off_is_left_out():
    provider, closed = make_provider(), make_provider("closed", enabled=False)
    make_credential(provider)
    make_credential(provider, "spare", enabled=False)
    on, off = make_deployment(provider, "on"), make_deployment(provider, "off", enabled=False)
    make_alias("name", off, make_deployment(closed, "gone"), on)
    make_alias("hidden", on, enabled=False)
    make_alias("routeless", on).routes.update(enabled=False)

    picture = snapshot.build()

    assert set(picture.providers) == {"openrouter"}
    assert [one.label for one in picture.providers["openrouter"].credentials] == ["main"]
    assert set(picture.exact) == {"name", "routeless"}
    assert [target.upstream_model for target in picture.exact["name"].routes[0].targets] == ["on"]
    assert picture.exact["routeless"].routes == ()


@pytest.mark.django_db
def test_a_deployment_without_a_credential_that_is_on_is_skipped_and_told_once():
    provider = make_provider()
    own = make_credential(provider, "own", enabled=False)
    make_credential(provider)
    spare = make_deployment(provider, "spare")
    deployment = make_deployment(provider, "model", credential=own)
    make_alias("name", deployment, spare)
    make_alias("other", deployment)

    picture = snapshot.build()

    assert [target.upstream_model for target in picture.exact["name"].routes[0].targets] == [
        "spare"
    ]
    assert picture.exact["other"].routes[0].targets == ()
    [warning] = picture.warnings
    assert "openrouter: model has no credential that is switched on" in warning


@pytest.mark.django_db
def test_a_deployment_with_a_credential_of_its_own_uses_no_other():
    provider = make_provider()
    make_credential(provider, "main")
    spare = make_credential(provider, "spare")
    make_alias("name", make_deployment(provider, "model", credential=spare))

    [target] = snapshot.build().exact["name"].routes[0].targets

    assert [credential.label for credential in target.credentials] == ["spare"]


@pytest.mark.django_db
def test_a_credential_that_cannot_be_opened_becomes_a_warning(settings):
    provider = make_provider()
    make_credential(provider, "lost")
    settings.SEALING_KEYS = [Fernet.generate_key().decode()]
    make_credential(provider, "main")

    picture = snapshot.build()

    assert [c.label for c in picture.providers["openrouter"].credentials] == ["main"]
    [warning] = picture.warnings
    assert warning.startswith("Credential openrouter/lost: The stored secret cannot be opened")


@pytest.mark.django_db
def test_a_ca_bundle_that_cannot_be_read_becomes_a_warning():
    make_provider(ca_bundle_pem="no certificate")

    picture = snapshot.build()

    [warning] = picture.warnings
    assert warning.startswith("Provider openrouter: the CA bundle cannot be read")
    assert "openrouter" in picture.providers


@pytest.mark.django_db
def test_overrides_of_a_deployment_change_its_traits():
    provider = make_provider()
    deployment = make_deployment(
        provider,
        "anthropic/claude",
        max_output_tokens=100,
        parameters={"temperature": 0.2},
        traits={"cache_control": False, "efforts": ["low", "high"], "long_forgotten": 1},
    )
    make_alias("name", deployment)

    [target] = snapshot.build().exact["name"].routes[0].targets

    assert target.traits.cache_control is False
    assert target.traits.efforts == ("low", "high")
    assert target.traits.max_output_tokens == 100
    assert target.traits.parameters == {"temperature": 0.2}
    assert "long_forgotten" not in target.overrides


@pytest.mark.django_db
def test_patterns_are_tried_in_an_order_that_no_database_decides():
    deployment = make_deployment(make_provider())
    for name in ("b-*", "*", "a-*", "a-b-*"):
        make_alias(name, deployment, match="wildcard")
    make_alias("x", deployment, match="regex")

    picture = snapshot.build()

    assert [alias.name for alias in picture.patterns] == ["x", "a-b-*", "a-*", "b-*", "*"]
    assert picture.exact == {}


@pytest.mark.django_db
def test_the_first_enabled_route_by_position_comes_first():
    deployment = make_deployment(make_provider())
    alias = make_alias("name", deployment)
    late = alias.routes.get()
    late.position = 5
    late.save()
    early = alias.routes.create(position=1, strategy="weighted")
    RouteTarget.objects.create(route=early, deployment=deployment, weight=7)

    routes = snapshot.build().exact["name"].routes

    assert [route.strategy == "weighted" for route in routes] == [True, False]
    assert routes[0].targets[0].weight == 7


@pytest.mark.django_db
def test_every_saved_and_deleted_row_counts_the_version_up():
    assert snapshot.version() == 0
    provider = make_provider()
    assert snapshot.version() == 1
    credential = make_credential(provider)
    assert snapshot.version() == 2
    deployment = make_deployment(provider)
    assert snapshot.version() == 3
    alias = make_alias("name", deployment)
    assert snapshot.version() == 6  # the alias, its route and the route's target
    alias.delete()
    assert snapshot.version() == 9
    credential.delete()
    Provider.objects.all().delete()  # with its deployment
    assert snapshot.version() == 12
    snapshot.bump()
    assert snapshot.version() == 13
    assert snapshot.build().number == 13


@pytest.mark.django_db
def test_a_picture_costs_as_many_queries_for_many_rows_as_for_few(django_assert_num_queries):
    provider = make_provider()
    make_credential(provider)
    for number in range(10):
        make_alias(f"name-{number}", make_deployment(provider, f"model-{number}"))
    with django_assert_num_queries(12):
        snapshot.build()


def test_before_the_first_picture_requests_are_refused(picture_restored):
    snapshot.put_in_force(None)

    assert snapshot.in_force() is None
    with pytest.raises(SnapshotUnbuilt, match="/health/ready"):
        snapshot.current()


@pytest.mark.django_db
def test_a_picture_that_cannot_be_built_leaves_the_old_one_in_force(picture_restored):
    picture = snapshot.build()
    snapshot.put_in_force(picture)

    snapshot.refuse("the reason")

    assert snapshot.current() is picture
    assert snapshot.failure() == "the reason"
    snapshot.put_in_force(picture)
    assert snapshot.failure() == ""
