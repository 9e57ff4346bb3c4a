"""Records as files: every value, in order, for whoever may see them, without holding them in memory."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounting import exports, parquet
from accounting.ledger import write_rows
from accounting.models import Membership, UsageRecord
from tests.accounting.test_recount import book_adjustment
from tests.factories.accounting import make_entry, make_team, make_usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUERY = "?from=2026-11-01&to=2026-11-30"


def address(ending="csv", query=QUERY):
    return reverse("accounting:records", args=[ending]) + query


def rows_of(response):
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 3, 4, 23, 100])
def test_portions_go_on_where_the_one_before_ended(size):
    write_rows(make_entry(started_at=NOON + timedelta(seconds=n // 4)) for n in range(23))
    expected = list(UsageRecord.objects.order_by("started_at", "id").values_list("id", flat=True))

    found = list(exports.portions(UsageRecord.objects.all(), size=size))

    assert [row[0] for portion in found for row in portion] == expected
    assert max(map(len, found)) <= size


@pytest.mark.django_db
def test_a_portion_takes_two_queries_and_only_when_it_is_wanted(django_assert_num_queries):
    write_rows(make_entry() for _ in range(10))

    with django_assert_num_queries(2):
        next(exports.portions(UsageRecord.objects.all(), size=4))


@pytest.mark.django_db
def test_csv_holds_every_column_and_no_formula(admin_client):
    record = make_usage(
        session="=1+1",
        agent="-2",
        cost_usd=Decimal("0.000000000001"),
        cache_saved_usd=Decimal("-0.5"),
        notes=[["mapped", "a", 'b"']],
        streamed=False,
    )
    book_adjustment(record, Decimal("-0.25"), "run-1")

    response = admin_client.get(address())
    (row,) = rows_of(response)

    assert tuple(row) == exports.NAMES
    assert row["id"] == record.pk
    assert row["started_at"] == "2026-11-20T12:00:00.000000Z"
    assert row["session"] == "'=1+1"
    assert row["agent"] == "'-2"
    assert row["cost_usd"] == "0.000000000001"
    assert row["cache_saved_usd"] == "-0.500000000000"
    assert row["adjusted_usd"] == "-0.250000000000"
    assert row["ttft_ms"] == ""
    assert row["streamed"] == "false"
    assert json.loads(row["notes"]) == [["mapped", "a", 'b"']]
    assert response["Content-Disposition"] == (
        'attachment; filename="records-2026-11-01-2026-11-30.csv"'
    )
    assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_json_lines_hold_the_same(admin_client):
    record = make_usage(session="=1+1", cost_usd=Decimal("0.1"), notes=[["x", "y"]])

    (line,) = b"".join(admin_client.get(address("jsonl")).streaming_content).splitlines()
    tree = json.loads(line)

    assert tuple(tree) == exports.NAMES
    assert tree["id"] == record.pk
    assert tree["session"] == "=1+1"
    assert tree["cost_usd"] == "0.100000000000"
    assert tree["ttft_ms"] is None
    assert tree["notes"] == [["x", "y"]]


@pytest.mark.django_db
def test_files_are_narrowed_as_reports_are(admin_client):
    make_usage(team="alder", tags=",a,")
    make_usage(team="birch", tags=",a,b,")
    make_usage(team="birch", started_at=NOON - timedelta(days=40))

    assert [row["team"] for row in rows_of(admin_client.get(address()))] == ["alder", "birch"]
    (row,) = rows_of(admin_client.get(address(query=QUERY + "&team=birch&tag=b")))
    assert row["tags"] == ",a,b,"


@pytest.mark.django_db
def test_another_ending_is_no_page(admin_client):
    assert admin_client.get(address("xlsx")).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("person", "seen"),
    [
        ("staff", ["own", "theirs", "foreign"]),
        ("lead", ["own", "theirs"]),
        ("auditor", ["own", "theirs"]),
        ("member", ["own"]),
        ("outsider", None),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_everybody_gets_what_they_may_see(client, django_user_model, person, seen, ending):
    user = django_user_model.objects.create_user(person, is_staff=person == "staff")
    if person not in ("staff", "outsider"):
        Membership.objects.create(user=user, team=make_team("alder"), role=person)
    make_usage(member=person if person == "member" else "x", session="own")
    make_usage(member="somebody else", session="theirs")
    make_usage(team="birch", member=person, session="foreign")
    client.force_login(user)

    response = client.get(address(ending))

    if seen is None:
        assert response.status_code == 403
        return
    text = b"".join(response.streaming_content).decode()
    assert [word for word in ("own", "theirs", "foreign") if word in text] == seen


def test_who_is_not_signed_in_is_asked_to(client):
    assert client.get(address()).status_code == 302


@pytest.mark.django_db(transaction=True)
async def test_the_first_bytes_leave_before_anything_is_read(async_client, django_user_model):
    write_rows_later = make_entry()
    user = await django_user_model.objects.acreate(username="staff", is_staff=True)
    await async_client.aforce_login(user)

    response = await async_client.get(address())
    assert response.is_async
    chunks = response.streaming_content.__aiter__()
    assert (await anext(chunks)).startswith(b"id,request_id,")

    from asgiref.sync import sync_to_async

    await sync_to_async(write_rows)([write_rows_later])
    assert write_rows_later.id.encode() in await anext(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


@pytest.mark.django_db
def test_reading_the_heading_asks_the_ledger_nothing(admin_client):
    make_usage()
    response = admin_client.get(address())
    chunks = iter(response.streaming_content)

    with CaptureQueriesContext(connection) as asked:
        next(chunks)

    assert len(asked) == 0


# The command


def export(tmp_path, *words):
    path = tmp_path / "out"
    call_command("export_usage", *words, "--out", str(path))
    return path


@pytest.fixture
def three_days(db):
    write_rows(
        make_entry(id=f"r-{n}", started_at=NOON + timedelta(days=n), team="birch" if n else "alder")
        for n in range(3)
    )


@pytest.mark.usefixtures("three_days")
@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ([], ["r-0", "r-1", "r-2"]),
        (["--from", "2026-11-21"], ["r-1", "r-2"]),
        (["--to", "2026-11-21"], ["r-0", "r-1"]),
        (["--team", "alder"], ["r-0"]),
    ],
    ids=["all", "from", "to", "team"],
)
def test_the_command_writes_the_days_that_are_asked_for(tmp_path, words, ids):
    text = export(tmp_path, *words).read_text()
    assert [row["id"] for row in csv.DictReader(io.StringIO(text))] == ids
    (tmp_path / "out").unlink()

    lines = export(tmp_path, "--format", "jsonl", *words).read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids
    (tmp_path / "out").unlink()

    rows = parquet.read(export(tmp_path, "--format", "parquet", *words))
    assert [row[0] for portion in rows for row in portion] == ids


@pytest.mark.usefixtures("three_days")
def test_the_command_writes_to_standard_output(capfdbinary):
    call_command("export_usage", "--format", "jsonl", "--team", "alder")

    assert json.loads(capfdbinary.readouterr().out)["id"] == "r-0"


@pytest.mark.usefixtures("three_days")
def test_the_command_writes_over_nothing(tmp_path):
    export(tmp_path)
    with pytest.raises(CommandError, match="cannot be written"):
        export(tmp_path)


@pytest.mark.django_db
def test_the_command_says_when_parquet_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(CommandError, match="make setup EXTRAS=parquet"):
        export(tmp_path, "--format", "parquet")
    assert not (tmp_path / "out").exists()
