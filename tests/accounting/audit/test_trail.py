"""Tests of accounting/audit/trail.py: the chain, and what was done to it behind its back."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounting.audit import actors, guard, trail, values
from accounting.audit.trail import Draft
from accounting.errors import LedgerImmutable
from accounting.models import AuditCheck, AuditEntry

ADA = actors.Actor("ada", "admin", 7, "192.0.2.1")


def add(count: int = 1, **fields: object) -> None:
    for number in range(count):
        draft = Draft("change", "accounting.team", str(number), f"team {number}")
        trail.append([replace(draft, **fields)], actor=ADA)


def add_and_fail() -> None:
    add(1)
    raise ZeroDivisionError


def tamper(statement: str, *values_of: object) -> None:
    """As somebody would who has the database."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values_of)


def faults(**options: object) -> str:
    return " ".join(trail.verify(**options).faults)


@pytest.mark.django_db
def test_entries_are_numbered_and_each_is_sealed_by_the_one_before():
    add(3, before={"name": "a"}, after={"name": "b"})

    first, second, third = AuditEntry.objects.order_by("number")

    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert first.previous_digest == trail.GENESIS
    assert (second.previous_digest, third.previous_digest) == (first.digest, second.digest)
    assert (third.actor, third.actor_id, third.address, third.via) == (
        "ada",
        7,
        "192.0.2.1",
        "admin",
    )
    assert trail.verify().is_sound


def test_the_digest_is_over_one_spelling_that_others_can_work_out_too():
    entry = AuditEntry(
        number=1,
        at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        actor="ada",
        actor_id=7,
        address="192.0.2.1",
        via="admin",
        action="change",
        kind="accounting.team",
        object_id="3",
        name="alder",
        team="alder",
        before={"name": "ä"},
        after={"name": "b", "enabled": True},
        previous_digest=trail.GENESIS,
    )

    content = (
        '{"action":"change","actor":"ada","actor_id":7,"address":"192.0.2.1","after":{"enabled":true,"name":"b"},'
        '"at":"2026-11-21T12:00:00.000000+00:00","before":{"name":"ä"},"kind":"accounting.team","name":"alder",'
        '"number":1,"object_id":"3","team":"alder","via":"admin"}'
    )
    assert trail.canonical(entry).decode() == content
    assert trail.digest_of(entry) == sha256(f"{'0' * 64}\n{content}".encode()).hexdigest()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "'eve'"),
        ("actor_id", "NULL"),
        ("address", "''"),
        ("via", "'gateway'"),
        ("action", "'delete'"),
        ("kind", "'x'"),
        ("object_id", "'9'"),
        ("name", "'x'"),
        ("team", "'x'"),
        ("before", "'{}'"),
        ("after", "'{\"a\": 2}'"),
        ("at", "'2026-01-01 00:00:00'"),
    ],
    ids=lambda value: value if value.isidentifier() else "",
)
def test_a_changed_entry_is_named(column, value):
    add(3, before={"a": 1}, after={"a": 3})

    tamper(f"UPDATE accounting_auditentry SET {column} = {value} WHERE number = 2")

    assert faults() == "Entry 2 was changed: its digest is not that of what it says."


@pytest.mark.django_db
def test_a_missing_entry_is_named():
    add(5)

    tamper("DELETE FROM accounting_auditentry WHERE number IN (2, 4)")

    assert faults() == "Entry 2 is missing. Entry 4 is missing."


@pytest.mark.django_db
def test_missing_first_entries_are_named():
    add(4)

    tamper("DELETE FROM accounting_auditentry WHERE number < 3")

    assert faults() == "Entries 1 to 2 are missing."


@pytest.mark.django_db
def test_a_removed_entry_is_found_also_when_the_others_move_up():
    add(3)

    tamper("DELETE FROM accounting_auditentry WHERE number = 2")
    tamper("UPDATE accounting_auditentry SET number = 2 WHERE number = 3")

    assert "Entry 2 was changed" in faults()
    assert "Entry 2 does not follow on entry 1" in faults()


@pytest.mark.django_db
def test_an_entry_that_was_put_in_or_sealed_anew_does_not_hold_the_chain():
    add(3)
    forged = AuditEntry.objects.get(number=2)
    forged.name = "forged"

    tamper(
        "UPDATE accounting_auditentry SET name = 'forged', digest = %s WHERE number = 2",
        trail.digest_of(forged),
    )

    assert faults().startswith("Entry 3 does not follow on entry 2")


@pytest.mark.django_db
def test_entries_that_changed_places_are_named():
    add(3)

    for old, new in ((2, 9), (3, 2), (9, 3)):
        tamper(f"UPDATE accounting_auditentry SET number = {new} WHERE number = {old}")

    assert "Entry 2 was changed" in faults()
    assert "Entry 3 was changed" in faults()


@pytest.mark.django_db
def test_entries_taken_away_at_the_end_are_found_by_what_was_noted():
    add(3)
    noted = trail.newest()
    tamper("DELETE FROM accounting_auditentry WHERE number = 3")

    assert trail.verify().is_sound
    assert faults(expected=[noted]) == "Entry 3 is missing: the trail ends with entry 2."


@pytest.mark.django_db
def test_a_chain_that_was_sealed_anew_is_found_by_what_was_noted():
    add(2)
    noted = trail.newest()
    tamper("DELETE FROM accounting_auditentry")
    add(3, name="forged")

    assert trail.examine(trail.stored()).is_sound
    assert faults(expected=[noted]).startswith("Entry 2 has another digest than was noted")


@pytest.mark.django_db
def test_each_verification_remembers_where_the_trail_was_sound():
    add(3)
    assert trail.verify().is_sound
    tamper("DELETE FROM accounting_auditentry WHERE number = 3")

    assert faults() == "Entry 3 is missing: the trail ends with entry 2."
    check = AuditCheck.objects.get()
    assert (check.entries, check.number, check.problem) == (
        2,
        3,
        "Entry 3 is missing: the trail ends with entry 2.",
    )


@pytest.mark.django_db
def test_an_empty_trail_is_sound():
    assert trail.verify() == trail.Verdict(0, None, ())


@pytest.mark.django_db
def test_a_list_of_faults_has_an_end():
    add(trail.FAULTS_MAX + 30)

    tamper("UPDATE accounting_auditentry SET name = 'x'")

    verdict = trail.verify()
    assert len(verdict.faults) == trail.FAULTS_MAX + 1
    assert verdict.faults[-1] == "And 30 more."


@pytest.mark.django_db
def test_nothing_is_added_by_a_transaction_that_fails():
    add(1)

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add_and_fail()
    add(1)

    assert list(AuditEntry.objects.order_by("number").values_list("number", flat=True)) == [1, 2]
    assert trail.verify().is_sound


@pytest.mark.django_db
def test_code_cannot_change_an_entry():
    add(1)
    entry = AuditEntry.objects.get()

    for refused in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        AuditEntry.objects.update,
    ):
        with pytest.raises(LedgerImmutable):
            refused()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    ["UPDATE accounting_auditentry SET name = 'x'", "DELETE FROM accounting_auditentry"],
    ids=["update", "delete"],
)
def test_the_database_refuses_to_change_an_entry(statement):
    add(2)
    guard.install(connection)
    guard.install(connection)  # a second time does no harm
    assert guard.is_installed(connection)

    with pytest.raises(DatabaseError, match="cannot be changed or deleted"), transaction.atomic():
        tamper(statement)
    add(1)

    assert trail.verify().entries == 3
    guard.remove(connection)
    assert not guard.is_installed(connection)


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_leave_no_gap_and_one_chain():
    def write(number: int) -> None:
        for turn in range(5):
            with transaction.atomic():
                add(1 + turn % 2, name=f"{number}")
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    verdict = trail.verify()
    assert (verdict.entries, verdict.newest.number, verdict.faults) == (
        42,
        42,
        (),
    )  # 6 * (3 + 2 * 2)


@pytest.mark.django_db(transaction=True)
def test_the_newest_digest_goes_into_the_log_once_it_is_committed(caplog):
    caplog.set_level("INFO", "accounting.audit.trail")
    trail.log.propagate = True

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        add_and_fail()
    add(1)
    with transaction.atomic():
        add(2)  # one line for both

    newest = trail.newest()
    lines = [(r.audit_number, r.audit_digest) for r in caplog.records if r.message == "audited"]
    assert [number for number, _digest in lines] == [1, 3]
    assert lines[-1] == (newest.number, newest.digest)


@pytest.mark.django_db(transaction=True)
def test_what_a_command_did_is_logged_by_who_serves(caplog):
    caplog.set_level("INFO", "accounting.audit.trail")
    trail.log.propagate = True
    trail._Logged.number = 0

    with actors.acting(lambda: actors.Actor("create_key", "command")):
        trail.append([Draft("create", "accounting.virtualkey")])
    assert not caplog.records  # create_key prints the key and nothing else

    trail.log_newest()
    trail.log_newest()
    assert [record.audit_number for record in caplog.records] == [1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.django_db
@given(
    told=st.lists(
        st.tuples(st.text(max_size=300), st.dictionaries(st.text(), json_values, max_size=4)),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_is_told_is_read_back_as_it_was_sealed(told):
    with transaction.atomic():
        trail.append(
            (
                Draft("change", "accounting.team", "1", name, name, {}, values.plain(after))
                for name, after in told
            ),
            actor=actors.Actor(told[0][0], "admin", address=told[0][0]),
        )
        verdict = trail.examine(trail.stored())
        transaction.set_rollback(True)

    assert verdict == replace(verdict, faults=(), entries=len(told))
