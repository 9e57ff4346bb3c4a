"""Versions of the configuration: one for each change, whoever made it, and each a way back."""

import threading
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import DatabaseError, connection

from llmgateway.configuration import ConfigurationFaulty, export, import_text
from llmgateway.runtime import refresh_pictures
from routing import secrets, snapshot, state, versions
from routing.models import (
    AgentType,
    ConfigurationVersion,
    Credential,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    ProviderCheck,
    Route,
    RouteTarget,
    Transformation,
)
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)

pytestmark = pytest.mark.django_db
NO_CONFIGURATION = {"RoutingVersion", "ProviderCheck", "ConfigurationVersion"}


@pytest.fixture
def rows():
    """A row of every kind."""
    provider = make_provider()
    credential = make_credential(provider)
    deployment = make_deployment(
        provider, credential=credential, parameters={"temperature": 0.5, "n": [1, {"a": None}]}
    )
    alias = make_alias("strong", deployment)
    tier = ModelTier.objects.create(slug="strong", alias=alias)
    AgentType.objects.create(slug="summarizer", tier=tier)
    HeaderRule.objects.create(action="drop", name="x-a", scope="provider", provider=provider)
    Transformation.objects.create(
        kind="json_set", pattern="$.a", value={"b": 1}, scope="route", alias=alias
    )
    FeatureFlag.objects.create(name="strict_conversion")
    return provider


def change(author: str = "ada", **fields: object) -> ConfigurationVersion | None:
    """Change the provider as a user would, and return the newest version."""
    with versions.changes_by(author, "Changed it."):
        row = Provider.objects.get(slug="openrouter")
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
    return versions.newest()


def roll_back(number: int, author: str = "ada") -> versions.RolledBack:
    row = ConfigurationVersion.objects.get(number=number)
    return versions.roll_back(row, author=author, seen_number=snapshot.version())


def test_a_change_becomes_a_version_with_its_author_and_its_diff(rows):
    versions.record_others()

    made = change(retries_max=7)

    assert made is not None
    assert (made.number, made.author, made.summary) == (2, "ada", "Changed it.")
    assert "-      max: 2\n+      max: 7" in made.diff
    assert abs((datetime.now(UTC) - made.made_at).total_seconds()) < 60
    assert versions.number_at(snapshot.version()) == 2


def test_what_was_there_before_the_first_change_is_a_version_of_its_own(rows):
    change(retries_max=7)

    first, second = ConfigurationVersion.objects.order_by("number")
    assert (first.author, first.summary) == ("system", "As it was found.")
    assert "+  openrouter:" in first.diff
    assert second.author == "ada"


def test_in_an_empty_database_the_first_change_is_the_first_version():
    with versions.changes_by("ada", "Added."):
        make_provider()

    [version] = ConfigurationVersion.objects.all()
    assert (version.number, version.author) == (1, "ada")


def test_nothing_changed_is_no_version(rows):
    change(retries_max=7)

    assert change(retries_max=7) == versions.newest()
    with versions.changes_by("ada", "Looked."):
        pass
    assert ConfigurationVersion.objects.count() == 2
    assert versions.is_up_to_date()


def test_what_fails_is_no_version(rows):
    versions.record_others()

    def break_it() -> None:
        with versions.changes_by("ada", "Broke it."):
            Provider.objects.all().delete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_it()
    assert Provider.objects.exists()
    assert ConfigurationVersion.objects.count() == 1


def test_what_others_changed_before_is_not_taken_for_the_users(rows):
    versions.record_others()
    make_provider("second")

    change(retries_max=7)

    _first, others, users = ConfigurationVersion.objects.order_by("number")
    assert others.author == "unknown"
    assert "+  second:" in others.diff
    assert "second" not in users.diff


def test_the_watch_of_a_serving_process_writes_what_nobody_else_did(rows):
    refresh_pictures()
    assert versions.newest().author == "system"

    Provider.objects.create(slug="by-hand", kind="demo")
    refresh_pictures()
    refresh_pictures()
    snapshot.put_in_force(None)

    assert ConfigurationVersion.objects.count() == 2
    newest = versions.newest()
    assert (newest.author, newest.summary) == (
        "unknown",
        "Changed past the admin and the commands.",
    )


def test_an_import_is_a_version_and_a_dry_run_or_a_fault_is_none():
    text = "version: 1\nproviders: {demo: {kind: demo}}\naliases: {a: {}}\n"

    import_text(text, dry_run=True)
    with pytest.raises(ConfigurationFaulty):
        import_text(text + "x: 1\n", dry_run=False)
    assert not ConfigurationVersion.objects.exists()
    import_text(text, dry_run=False)
    import_text(text, dry_run=False)
    import_text("version: 1\nteams: {alder: {}}\n", dry_run=False)

    [version] = ConfigurationVersion.objects.all()
    assert version.author == "import_config"
    assert version.summary == "+ provider demo; + alias a"


def test_a_long_summary_is_cut():
    providers = ", ".join(f"provider-{number}: {{kind: demo}}" for number in range(60))

    import_text(f"version: 1\nproviders: {{{providers}}}\n", dry_run=False)

    summary = versions.newest().summary
    assert len(summary) == 500
    assert summary.endswith("…")


def test_first_run_is_a_version_of_its_own():
    call_command("first_run")
    call_command("first_run")

    [version] = ConfigurationVersion.objects.all()
    assert version.author == "first_run"


def test_every_row_of_routing_is_in_a_version(rows):
    models = {model.__name__ for model in apps.get_app_config("routing").get_models()}

    assert {model.__name__ for model in snapshot.WATCHED} == models - NO_CONFIGURATION
    assert set(state.read_state()) == {model._meta.model_name for model in snapshot.WATCHED}
    assert all(state.read_state().values())


def test_a_roll_back_brings_every_row_back_as_it_was(rows):
    ProviderCheck.objects.create(provider=rows, checked_at=datetime.now(UTC))
    versions.record_others()
    before, tree = state.read_state(), export()
    for model in (
        RouteTarget,
        Route,
        AgentType,
        ModelTier,
        Deployment,
        HeaderRule,
        Transformation,
        ModelAlias,
        FeatureFlag,
        Provider,
    ):
        model.objects.all().delete()
    make_alias("other", make_deployment(make_provider("other")))
    number = snapshot.version()

    done = roll_back(1)

    assert state.read_state() == before
    assert export() == tree
    assert snapshot.version() == number + 1
    assert done.version is not None
    assert done.version.summary == "Rolled back to version 1."
    assert (done.restored.kept_secrets, done.restored.lost_secrets) == ([], [])
    assert snapshot.build().exact["strong"].routes[0].targets
    connection.check_constraints()


def test_a_roll_back_leaves_what_is_the_same_and_what_is_no_configuration_alone(rows):
    other = make_provider("other", retries_max=1)
    ProviderCheck.objects.create(provider=rows, checked_at=datetime.now(UTC), problem="none")
    versions.record_others()
    made_at, touched_at = rows.created_at, other.updated_at
    change(retries_max=7)

    done = roll_back(1)

    row = Provider.objects.get(pk=rows.pk)
    assert (row.retries_max, row.created_at) == (2, made_at)
    assert done.restored.rows == 1
    assert Provider.objects.get(pk=other.pk).updated_at == touched_at
    assert ProviderCheck.objects.get().provider == rows
    assert Deployment.objects.get().provider == rows


def test_a_roll_back_takes_the_checks_of_later_providers_along(rows):
    versions.record_others()
    ProviderCheck.objects.create(provider=make_provider("later"), checked_at=datetime.now(UTC))

    roll_back(1)

    assert not ProviderCheck.objects.exists()


def test_names_that_were_swapped_are_swapped_back():
    one, two = make_provider("one"), make_provider("two")
    versions.record_others()
    for row, slug in ((one, "three"), (two, "one"), (one, "two")):
        Provider.objects.filter(pk=row.pk).update(slug=slug)
    snapshot.bump()

    roll_back(1)

    assert (Provider.objects.get(pk=one.pk).slug, Provider.objects.get(pk=two.pk).slug) == (
        "one",
        "two",
    )


def test_a_roll_back_can_be_rolled_back(rows):
    change(retries_max=7)
    roll_back(1)
    roll_back(2, author="grace")

    assert Provider.objects.get().retries_max == 7
    assert [(v.number, v.author) for v in ConfigurationVersion.objects.order_by("number")] == [
        (1, "system"),
        (2, "ada"),
        (3, "ada"),
        (4, "grace"),
    ]


def test_what_nobody_wrote_yet_is_written_before_a_roll_back(rows):
    versions.record_others()
    make_provider("by-hand")

    roll_back(1)

    assert [v.author for v in ConfigurationVersion.objects.order_by("number")] == [
        "system",
        "unknown",
        "ada",
    ]


def test_a_roll_back_to_what_is_there_changes_nothing(rows):
    versions.record_others()
    number = snapshot.version()

    assert roll_back(1).version is None
    assert snapshot.version() == number


def test_a_roll_back_is_refused_when_rows_have_changed_since_it_was_shown(rows):
    change(retries_max=7)
    version = ConfigurationVersion.objects.get(number=1)
    seen = snapshot.version()
    change(retries_max=8)

    with pytest.raises(versions.RollBackRefused, match="has changed since"):
        versions.roll_back(version, author="ada", seen_number=seen)
    assert Provider.objects.get().retries_max == 8


def test_a_roll_back_to_what_cannot_be_put_in_force_is_refused(rows):
    versions.record_others()
    version = ConfigurationVersion.objects.get()
    version.state["provider"][str(rows.pk)]["kind"] = "of-another-time"
    version.save()
    change(retries_max=7)

    with pytest.raises(versions.RollBackRefused, match="cannot be put in force"):
        roll_back(1)
    assert Provider.objects.get().kind == "openrouter"


def test_columns_of_another_time_do_not_stand_in_the_way(rows):
    versions.record_others()
    version = ConfigurationVersion.objects.get()
    columns = version.state["provider"][str(rows.pk)]
    columns["colour"] = "red"
    del columns["check_model"]
    del version.state["featureflag"]
    version.save()
    change(retries_max=7, check_model="kept")

    roll_back(1)

    row = Provider.objects.get()
    assert (row.retries_max, row.check_model) == (2, "kept")
    assert not FeatureFlag.objects.exists()


def test_an_old_secret_comes_back_and_is_never_in_clear(rows):
    versions.record_others()
    with versions.changes_by("ada", "A new secret."):
        row = Credential.objects.get()
        row.seal("another-secret-0123456789")
        row.save()
    newest = versions.newest()
    assert "+    - label: main" not in newest.diff
    assert "+      secret: …6789, sealed 20" in newest.diff

    roll_back(1)

    assert secrets.open_sealed(Credential.objects.get().sealed_secret).reveal() == SECRET
    for version in ConfigurationVersion.objects.all():
        shown = f"{version.text}{version.diff}{version.summary}{version.state}"
        assert SECRET not in shown
        assert "another-secret" not in shown
        assert all(
            row.sealed_secret not in version.text + version.diff for row in Credential.objects.all()
        )


def test_a_secret_that_no_key_opens_any_more_stays_as_it_is_now(rows, settings):
    versions.record_others()
    settings.SEALING_KEYS = [Fernet.generate_key().decode()]
    with versions.changes_by("ada", "A new key."):
        row = Credential.objects.get()
        row.seal("another-secret-0123456789")
        row.save()
        gone = make_credential(make_provider("gone"), "old")
    version = versions.newest()
    assert versions.unreadable_secrets(version) == []
    with versions.changes_by("ada", "Away with it."):
        Provider.objects.filter(slug="gone").delete()
    settings.SEALING_KEYS = [Fernet.generate_key().decode()]
    with versions.changes_by("ada", "A newer key."):
        row.seal("third-secret-0123456789")
        row.save()

    done = roll_back(version.number)

    assert sorted(versions.unreadable_secrets(version)) == ["main", "old"]
    assert done.restored.kept_secrets == ["main"]
    assert done.restored.lost_secrets == ["old"]
    opened = secrets.open_sealed(Credential.objects.get(pk=row.pk).sealed_secret)
    assert opened.reveal() == "third-secret-0123456789"
    assert Credential.objects.get(pk=gone.pk).label == "old"


def test_secrets_of_old_versions_are_sealed_with_the_new_key_too(rows, settings, capsys):
    versions.record_others()
    with versions.changes_by("ada", "A new secret."):
        row = Credential.objects.get()
        row.seal("another-secret-0123456789")
        row.save()
    old, new = django_settings.SEALING_KEYS[0], Fernet.generate_key().decode()
    settings.SEALING_KEYS = [new, old]
    call_command("rotate_secrets")
    settings.SEALING_KEYS = [new]

    refresh_pictures()
    snapshot.put_in_force(None)
    assert ConfigurationVersion.objects.count() == 2  # sealed anew is no change
    roll_back(1)

    assert secrets.open_sealed(Credential.objects.get().sealed_secret).reveal() == SECRET
    assert capsys.readouterr().err == ""


def test_secrets_that_no_key_opens_are_told_at_a_rotation(rows, settings, capsys):
    versions.record_others()
    settings.SEALING_KEYS = [Fernet.generate_key().decode()]
    with versions.changes_by("ada", "A new key."):
        row = Credential.objects.get()
        row.seal("another-secret-0123456789")
        row.save()

    call_command("rotate_secrets")

    assert "1 secrets of old versions were sealed with lost keys." in capsys.readouterr().err


@pytest.mark.django_db(transaction=True)
def test_changes_at_the_same_time_become_versions_of_their_own():
    for number in range(6):
        make_provider(f"p{number}")
    versions.record_others()
    start, failures = threading.Barrier(6), []

    def change_one(number: int) -> None:
        try:
            start.wait()
            with versions.changes_by(f"user-{number}", "Changed."):
                row = Provider.objects.get(slug=f"p{number}")
                row.retries_max = 9
                row.save()
        except DatabaseError as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=change_one, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    made = list(ConfigurationVersion.objects.order_by("number")[1:])
    assert [version.number for version in made] == [2, 3, 4, 5, 6, 7]
    assert {version.author for version in made} == {f"user-{number}" for number in range(6)}
    for version in made:
        assert version.diff.count("\n+") == 1, version.diff
