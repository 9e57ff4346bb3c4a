"""manage.py create_keys: all of a CSV file, or nothing; the secrets in a file of their owner's only."""

import csv
import io
import stat
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from accounting import key_files, keys
from accounting.models import Membership, Project, VirtualKey
from tests.factories.accounting import make_key, make_team

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOOD = """\
team,name,project,owner,expires,aliases,rpm,tpm,concurrent
alder,laptop,web,ada,2099-01-31,claude-* gpt-5,5,1000,2

birch,=phone,,,,,,,
"""


@pytest.fixture(autouse=True)
def _cast():
    alder = make_team("alder")
    Project.objects.create(team=alder, slug="web")
    Membership.objects.create(team=alder, user=User.objects.create(username="ada"))
    make_team("birch")


def run(tmp_path, text: str, *words: str) -> str:
    (tmp_path / "in.csv").write_text(text)
    out = io.StringIO()
    call_command("create_keys", str(tmp_path / "in.csv"), *words, stdout=out)
    return out.getvalue()


def faults(text: str) -> list[str]:
    return [str(fault) for fault in key_files.read(text, now=NOW).faults]


def test_all_keys_of_a_file_are_made_and_written_for_their_owner_only(tmp_path):
    out = tmp_path / "out.csv"

    assert "2 keys were made" in run(tmp_path, GOOD, "--out", str(out))

    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    first, second = csv.DictReader(io.StringIO(out.read_text()))
    assert (first["team"], first["name"], first["project"]) == ("alder", "laptop", "web")
    assert (first["owner"], first["expires"]) == ("ada", "2099-01-31T00:00:00+00:00")
    assert second["name"] == "'=phone"  # no formula to a spreadsheet
    rows = {row.digest: row for row in VirtualKey.objects.all()}
    assert rows[keys.digest_of(first["key"])].allowed_aliases == ["claude-*", "gpt-5"]
    assert rows[keys.digest_of(first["key"])].tokens_per_minute == 1000
    assert rows[keys.digest_of(second["key"])].team.slug == "birch"


def test_a_dry_run_makes_nothing(tmp_path):
    assert run(tmp_path, GOOD, "--dry-run") == "2 keys would be made.\n"
    assert not VirtualKey.objects.exists()


def test_every_fault_is_told_with_its_line_and_nothing_is_made(tmp_path):
    make_key(name="taken")
    text = (
        GOOD + "cedar,x\nalder,taken,app,bob\nalder,laptop\nalder,,,,soon,,0\nbirch,a,b,,,,,,,,,\n"
    )

    with pytest.raises(CommandError) as caught:
        run(tmp_path, text, "--out", str(tmp_path / "out.csv"))

    told = [line.split(", ", 1)[1] for line in str(caught.value).splitlines()]
    assert told == [
        "line 5: There is no team 'cedar'. Teams: alder, birch.",
        "line 6: Team alder has no project 'app'.",
        "line 6: There is no user 'bob'.",
        "line 6: Team alder has a key with that name already: taken.",
        "line 7: Team alder has a key with that name already: laptop.",
        "line 8: rpm: '0' is no limit: write a whole number from 1 to 2147483647.",
        "line 8: expires: 'soon' is no moment: write a day such as 2027-01-31, a moment such as "
        "2027-01-31T12:00:00Z, or a span from now such as 90d.",
        "line 8: name: This field cannot be blank.",
        "line 9: 12 cells, but 9 headings",
    ]
    assert VirtualKey.objects.count() == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: The first line must name the columns"),
        ("team\nalder\n", "line 1: The first line must name the columns"),
        ("team,name,colour\n", "line 1: There is no column 'colour'"),
        ("team,name,team\n", "line 1: The column 'team' stands here twice"),
        ("team,name\n", "line 1: There is no key in this file"),
        ('team,name\n"alder', "line 1: This is no CSV"),
    ],
)
def test_what_is_no_such_file_is_told(text, fault):
    assert faults(text)[0].startswith(fault)


def test_a_file_of_a_spreadsheet_with_a_mark_at_its_begin_is_read():
    assert faults("\ufeffName,Team\nlaptop,alder\n") == []


def test_a_file_may_not_be_too_long(monkeypatch):
    monkeypatch.setattr(key_files, "LINES_MAX", 1)

    assert faults(GOOD) == ["line 4: More than 1 keys: make several files of it."]


def test_the_files_must_be_there_and_not_be_there(tmp_path):
    with pytest.raises(CommandError, match="Say with --out"):
        run(tmp_path, GOOD)
    with pytest.raises(CommandError, match=r"in\.csv cannot be made: File exists"):
        run(tmp_path, GOOD, "--out", str(tmp_path / "in.csv"))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("create_keys", str(tmp_path / "none.csv"), "--dry-run")
    assert not VirtualKey.objects.exists()


def test_a_name_that_is_taken_meanwhile_takes_all_back(tmp_path, monkeypatch):
    def late(wanted, *, progress):
        raise ValidationError("This team has a key with that name already.")

    monkeypatch.setattr(key_files, "make", late)
    with pytest.raises(CommandError, match=r"No key was made\. This team has a key"):
        run(tmp_path, GOOD, "--out", str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_keys_come_from_standard_input_too(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    call_command("create_keys", "-", "--out", str(tmp_path / "out.csv"), stdout=io.StringIO())

    assert VirtualKey.objects.count() == 2
