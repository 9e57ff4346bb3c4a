"""The commands that set the gateway up and start it; those that need a server are in test_processes."""

import re
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.test import RequestFactory

from accounting import keys
from accounting.models import Team, VirtualKey
from llmgateway.management.commands import first_run, serve
from routing.models import ModelAlias, Provider


@pytest.fixture
def installation(transactional_db, settings, tmp_path: Path) -> Path:
    """A fresh folder for what the program writes."""
    settings.DATA_DIR = tmp_path / "var"
    settings.STATIC_ROOT = tmp_path / "var" / "static"
    settings.OPENROUTER_API_KEY = ""
    settings.PUBLIC_URL = ""
    # The admin's own files are many, and copied by Django's code.
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    return tmp_path / "var"


def run(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    call_command("first_run", **options)
    return capsys.readouterr().out


def key_in(text: str) -> str:
    found = re.search(r"gw-[0-9A-Za-z]{46}", text)
    assert found
    return found[0]


def test_the_first_run_makes_all_that_a_first_request_needs(installation, capsys):
    text = run(capsys, port=9000)

    key = key_in(text)
    assert VirtualKey.objects.get().digest == keys.digest_of(key)
    assert text.count(key) == 4  # curl, Claude Code, both SDKs
    assert "http://127.0.0.1:9000/v1/messages" in text
    assert Provider.objects.get().kind == "demo"
    assert set(ModelAlias.objects.values_list("name", flat=True)) == {"demo", "claude-*"}
    login = re.search(r"log in: admin / (\S+)", text)
    assert login
    assert authenticate(RequestFactory().post("/"), username="admin", password=login[1]) is not None
    assert (installation / "static").is_dir()
    for name in ("first_key", "admin_password"):
        assert (installation / "secrets" / name).stat().st_mode & 0o777 == 0o600


def test_a_second_run_prints_the_same_and_makes_nothing(installation, capsys):
    first = run(capsys)

    assert run(capsys) == first
    assert VirtualKey.objects.count() == 1
    assert Team.objects.count() == 1


def test_what_people_have_replaced_is_not_printed(installation, capsys, django_user_model):
    run(capsys)
    user = django_user_model.objects.get()
    user.set_password("chosen by hand")
    user.save()
    row = VirtualKey.objects.get()
    row.digest = keys.digest_of("gw-replaced")
    row.save()

    text = run(capsys)

    assert "log in: with the name and password you chose" in text
    assert "YOUR-KEY" in text
    assert "gw-" not in text
    assert VirtualKey.objects.count() == 1


def test_a_key_that_was_deleted_is_made_anew(installation, capsys):
    first = key_in(run(capsys))
    VirtualKey.objects.all().delete()

    second = key_in(run(capsys))

    assert second != first
    assert VirtualKey.objects.get().digest == keys.digest_of(second)


def test_an_administrator_that_is_there_already_is_left_alone(
    installation, capsys, django_user_model
):
    django_user_model.objects.create_superuser("root", password="secret")

    assert "log in: with the name and password you chose" in run(capsys)
    assert django_user_model.objects.count() == 1


def test_the_address_is_the_public_one_where_there_is_one(installation, capsys, settings):
    settings.PUBLIC_URL = "https://gateway.example"

    assert "ANTHROPIC_BASE_URL=https://gateway.example " in run(capsys)


def test_secrets_are_kept_where_the_settings_say(installation):
    assert first_run.kept_secret("nothing") == ""
    first_run.keep_secret("some", "words")
    assert first_run.kept_secret("some") == "words"
    assert (installation / "secrets" / "some").exists()


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_at_all_is_refused(workers):
    with pytest.raises(CommandError, match="at least 1"):
        serve.Command().handle(workers=workers)


@pytest.mark.parametrize(
    ("is_sqlite", "named"),
    [
        (True, ["Redis (REDIS_URL)", "PostgreSQL (DATABASE_URL)"]),
        (False, ["Redis (REDIS_URL)"]),
    ],
)
def test_several_workers_on_state_of_one_process_are_refused(settings, is_sqlite, named):
    settings.IS_SQLITE, settings.REDIS_URL = is_sqlite, ""

    with pytest.raises(CommandError) as caught:
        serve.Command().handle(workers=2)

    assert re.findall(r"\w+ \(\w+\)", str(caught.value)) == named


@pytest.mark.parametrize("is_sqlite", [True, False])
def test_several_workers_on_shared_state_are_allowed(settings, is_sqlite):
    settings.IS_SQLITE, settings.REDIS_URL = is_sqlite, "redis://127.0.0.1"

    serve.check_shared_state()
