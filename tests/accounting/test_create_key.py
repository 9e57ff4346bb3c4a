"""manage.py create_key prints a key that works, and nothing else."""

import io
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from accounting import keys, snapshot
from accounting.models import Project, VirtualKey
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def create_key(*words: str) -> str:
    out = io.StringIO()
    call_command("create_key", *words, stdout=out)
    return out.getvalue()


def test_the_key_and_nothing_else_is_printed():
    make_team("alder")

    printed = create_key("--team", "alder", "--name", "laptop")

    assert printed.endswith("\n")
    assert keys.is_well_formed(printed[:-1])
    held = snapshot.current()
    try:
        snapshot.put_in_force(snapshot.build())
        assert keys.authenticate([printed.strip()], now=NOW).team == "alder"
    finally:
        snapshot.put_in_force(held)


def test_a_project_and_the_allowed_names_are_kept():
    project = Project.objects.create(team=make_team("alder"), slug="web")

    create_key(
        *("--team", "alder", "--name", "laptop", "--project", "web"),
        *("--allow", "claude-*", "--allow", "gpt-5"),
    )

    row = VirtualKey.objects.get()
    assert row.default_project == project
    assert row.allowed_aliases == ["claude-*", "gpt-5"]


def test_an_unknown_team_is_told_with_the_teams_there_are():
    with pytest.raises(CommandError, match=r"no team 'cedar'\. Teams: none yet"):
        create_key("--team", "cedar", "--name", "laptop")
    make_team("alder")
    make_team("birch")
    with pytest.raises(CommandError, match=r"no team 'cedar'\. Teams: alder, birch"):
        create_key("--team", "cedar", "--name", "laptop")
    assert VirtualKey.objects.count() == 0


def test_a_project_of_another_team_is_unknown():
    make_team("alder")
    Project.objects.create(team=make_team("birch"), slug="web")

    with pytest.raises(CommandError, match="alder has no project 'web'"):
        create_key("--team", "alder", "--name", "laptop", "--project", "web")


def test_a_name_that_is_taken_is_refused():
    make_key(name="laptop")

    with pytest.raises(CommandError, match="a key with that name already"):
        create_key("--team", "alder", "--name", "laptop")
    assert VirtualKey.objects.count() == 1
