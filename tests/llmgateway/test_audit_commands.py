"""manage.py verify_audit and export_audit."""

import io
import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounting.audit import guard, trail
from accounting.audit.trail import Draft
from accounting.models import AuditCheck, AuditEntry
from llmgateway import dashboard

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def guarded():
    """As the migrations leave the database; taken back with the test's transaction."""
    guard.install(connection)


def add(count: int) -> None:
    trail.append(Draft("change", "accounting.team", str(n), f"team {n}") for n in range(count))


def run(command: str, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(command, *words, stdout=out, stderr=err)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def tamper(statement: str) -> None:
    guard.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    guard.install(connection)


def test_a_sound_trail_is_told_with_its_newest_entry():
    add(3)
    newest = trail.newest()

    code, out, err = run("verify_audit")

    assert (code, err) == (0, "")
    assert out == f"Sound: 3 entries, the newest is 3:{newest.digest}\n"
    assert run("verify_audit", "--expect", f"3:{newest.digest}")[0] == 0


def test_an_empty_trail_is_sound():
    assert run("verify_audit") == (0, "There is no entry yet.\n", "")


def test_what_was_done_to_the_trail_is_told_and_ends_with_one():
    add(3)
    tamper("UPDATE accounting_auditentry SET name = 'x' WHERE number = 2")

    code, out, err = run("verify_audit")

    assert (code, out) == (1, "")
    assert "Entry 2 was changed" in err
    assert "NOT SOUND: 3 entries were examined." in err


def test_the_verdict_as_json():
    add(2)
    newest = trail.newest()
    assert json.loads(run("verify_audit", "--json")[1]) == {
        "sound": True,
        "entries": 2,
        "newest": {"number": 2, "digest": newest.digest},
        "faults": [],
    }

    tamper("DELETE FROM accounting_auditentry WHERE number = 2")
    code, out, _err = run("verify_audit", "--json")
    assert code == 1
    assert json.loads(out)["faults"] == ["Entry 2 is missing: the trail ends with entry 1."]


def test_what_was_cut_off_is_found_by_an_entry_that_was_noted():
    add(3)
    newest = trail.newest()
    tamper("DELETE FROM accounting_auditentry WHERE number = 3")

    assert run("verify_audit", "--expect", f"3:{newest.digest}")[0] == 1
    assert run("verify_audit")[0] == 0  # nobody has verified it before, nobody has noted anything


def test_an_anchor_that_is_none_is_refused():
    with pytest.raises(CommandError, match="NUMBER:DIGEST"):
        run("verify_audit", "--expect", "3:abc")


def test_triggers_that_are_gone_are_a_fault():
    add(1)
    guard.remove(connection)

    code, _out, err = run("verify_audit")

    assert code == 1
    assert "triggers" in err
    assert "triggers" in AuditCheck.objects.get().problem


def test_the_dashboard_tells_of_a_trail_that_is_not_sound():
    add(2)
    run("verify_audit")
    assert not any("audit" in concern.sentence for concern in dashboard.concerns())

    tamper("DELETE FROM accounting_auditentry WHERE number = 1")
    run("verify_audit")

    [concern] = [concern for concern in dashboard.concerns() if "audit" in concern.sentence]
    assert "Entry 1 is missing." in concern.sentence
    assert concern.link == "/admin/accounting/auditentry/"


def test_exported_lines_are_verified_without_the_database(tmp_path):
    add(5)
    _code, lines, _err = run("export_audit")
    path = tmp_path / "audit.jsonl"
    path.write_text(lines)
    tamper("DELETE FROM accounting_auditentry")

    assert run("verify_audit", "--file", str(path))[1].startswith("Sound: 5 entries")
    path.write_text("".join(lines.splitlines(keepends=True)[2:]))  # a part of it that begins later
    assert run("verify_audit", "--file", str(path))[0] == 0
    rows = lines.splitlines(keepends=True)
    path.write_text("".join([*rows[:2], *rows[3:]]))
    assert "Entry 3 is missing." in run("verify_audit", "--file", str(path))[2]
    path.write_text("".join([rows[1], rows[0]]))
    assert "Entry 1 stands behind entry 2" in run("verify_audit", "--file", str(path))[2]
    path.write_text(lines.replace("team 3", "team 9"))
    assert "Entry 4 was changed" in run("verify_audit", "--file", str(path))[2]
    assert not AuditCheck.objects.exists()  # a file is not this trail


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"number": "x", "at": "y"}'])
def test_a_file_of_something_else_is_refused(tmp_path, line):
    path = tmp_path / "audit.jsonl"
    path.write_text(line + "\n")

    with pytest.raises(CommandError, match=r"line 1 is no audit entry|cannot be read"):
        run("verify_audit", "--file", str(path))
    with pytest.raises(CommandError, match="cannot be read"):
        run("verify_audit", "--file", str(tmp_path / "absent"))


def test_an_export_goes_on_where_the_last_one_ended():
    add(5)

    def numbers(*words: str) -> list[int]:
        return [json.loads(line)["number"] for line in run("export_audit", *words)[1].splitlines()]

    assert numbers() == [1, 2, 3, 4, 5]
    assert numbers("--since", "4") == [4, 5]
    assert numbers("--since", "6") == []
    today = datetime.now(UTC)
    assert numbers("--since", f"{today:%Y-%m-%d}") == [1, 2, 3, 4, 5]
    assert numbers("--since", "2999-01-01") == []
    second = AuditEntry.objects.get(number=2)
    assert numbers("--since", second.at.isoformat()) == [1, 2, 3, 4, 5]  # all at one moment
    with pytest.raises(CommandError, match="write a number"):
        run("export_audit", "--since", "yesterday")
    with pytest.raises(CommandError, match="no date"):
        run("export_audit", "--since", "2026-13-01")
