"""A provider's bill beside the ledger: exact differences, names that are written otherwise, days that moved."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounting.provider_bills import Amounts, Bill, read_bill
from accounting.reconciliation import COLUMNS, compare, table, words_of
from accounting.reconciliation_page import FILE_BYTES_MAX
from tests.accounting.test_provider_bills import ANTHROPIC_USAGE, OPENROUTER
from tests.accounting.test_recount import book_adjustment
from tests.factories.accounting import make_usage

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SONNET = "anthropic/claude-sonnet-4.5"
HEAD = "day,model,cost_usd,requests,prompt_tokens,completion_tokens\n"


def bill_of(*lines: str) -> Bill:
    return read_bill(io.BytesIO((HEAD + "\n".join(lines)).encode()))


@pytest.fixture
def booked():
    """What OpenRouter's sample bill is about, and a failed attempt, and another provider's."""
    make_usage(
        upstream_model=SONNET,
        cost_usd=Decimal("0.0123"),
        prompt_tokens=10389,
        completion_tokens=137,
    )
    make_usage(
        upstream_model=SONNET, cost_usd=Decimal("0.000001"), prompt_tokens=10, completion_tokens=1
    )
    make_usage(upstream_model="openai/gpt-5", cost_usd=Decimal("0.4"), prompt_tokens=7, completion_tokens=1,
               started_at=NOON + timedelta(days=1))  # fmt: skip
    make_usage(upstream_model=SONNET, status="failed")
    make_usage(upstream_model="claude", provider="anthropic", cost_usd=Decimal(9))


@pytest.mark.usefixtures("booked")
def test_a_bill_and_the_ledger_are_laid_side_by_side():
    found = compare(read_bill(io.BytesIO(OPENROUTER.encode())), provider="openrouter")

    assert [(name.theirs, name.ours, name.how) for name in found.names] == [
        ("anthropic/claude-4.5-sonnet-20250929", SONNET, "same words"),
        ("openai/gpt-5-2025-08-07", "openai/gpt-5", "same words"),
    ]
    first, second = found.lines
    assert first.theirs == first.ours == Amounts(Decimal("0.012301"), 2, 10399, 138)
    assert not first.differs
    assert second.difference == Amounts(Decimal("0.1"), 0, 0, 0)
    assert found.differing == (second,)
    assert found.total.difference.cost_usd == Decimal("0.1")
    assert [line.model for line in found.models] == ["openai/gpt-5", SONNET]
    assert found.zone == "UTC"


@pytest.mark.usefixtures("booked")
def test_what_only_one_side_has_is_told():
    found = compare(bill_of("2026-11-20,unheard-of,1,1,1,1", "2026-11-20,claude,9,1,,"))

    sides = {line.model: (line.side, line.difference.cost_usd) for line in found.lines}
    assert sides == {
        "unheard-of": ("theirs", Decimal(1)),
        "claude": ("both", Decimal(0)),
        SONNET: ("ours", Decimal("-0.012301")),
    }
    assert [(name.theirs, name.proposals) for name in found.unmatched] == [("unheard-of", ())]


@pytest.mark.usefixtures("booked")
def test_what_a_bill_does_not_say_is_no_difference():
    text = ANTHROPIC_USAGE.replace("claude-sonnet-4-5-20250929", SONNET)
    found = compare(read_bill(io.BytesIO(text.encode())), provider="openrouter")

    (line,) = found.lines
    assert line.difference == Amounts(None, None, 4124 - 10399, 501 - 138)
    assert found.total.difference.cost_usd is None


@pytest.mark.usefixtures("booked")
def test_names_that_are_nearly_alike_are_proposed_and_can_be_chosen():
    bill = bill_of("2026-11-20,claude-sonnet-latest,1,1,,")

    found = compare(bill, provider="openrouter")
    assert found.unmatched[0].proposals[0] == SONNET

    found = compare(bill, provider="openrouter", names={"claude-sonnet-latest": SONNET})
    assert not found.unmatched
    assert found.lines[0].difference.cost_usd == Decimal("0.987699")  # 1 - 0.012301


def test_two_of_our_models_with_the_same_words_are_both_proposed():
    make_usage(upstream_model="a/gpt-5")
    make_usage(upstream_model="b/gpt-5")

    assert compare(bill_of("2026-11-20,gpt 5,1,,,")).unmatched[0].proposals == (
        "a/gpt-5",
        "b/gpt-5",
    )


@pytest.mark.parametrize(
    "name",
    ["anthropic/claude-4.5-sonnet-20250929", "claude-sonnet-4-5", "Claude Sonnet 4.5", "claude-sonnet-4-5-2025-09-29"],
    ids=["openrouter", "ours", "display", "dated"],
)  # fmt: skip
def test_a_models_name_has_the_same_words_wherever_it_stands(name):
    assert words_of(name) == ("4", "5", "claude", "sonnet")


def test_adjustments_are_among_what_was_booked():
    book_adjustment(make_usage(cost_usd=Decimal(1)), Decimal("0.5"), "run-1")

    for zone in (None, ZoneInfo("Europe/Berlin")):
        found = compare(bill_of(f"2026-11-20,{SONNET},1.5,1,0,0"), zone=zone)
        assert not found.differing


def test_days_of_another_zone_are_counted_from_the_rows():
    make_usage(cost_usd=Decimal(1), started_at=datetime(2026, 11, 19, 23, 30, tzinfo=UTC))
    make_usage(cost_usd=Decimal(2), started_at=datetime(2026, 11, 20, 23, 30, tzinfo=UTC))
    bill = bill_of(f"2026-11-20,{SONNET},1,1,0,0")

    found = compare(bill, zone=ZoneInfo("Europe/Berlin"))
    assert not found.differing
    assert found.zone == "Europe/Berlin"
    assert compare(bill).lines[0].ours.cost_usd == 2


def test_what_moved_over_midnight_is_told():
    make_usage(cost_usd=Decimal(10))
    make_usage(cost_usd=Decimal(1), started_at=NOON + timedelta(days=1))

    lines = compare(bill_of(f"2026-11-20,{SONNET},9.5,1,,", f"2026-11-21,{SONNET},1.5,1,,")).lines

    assert [line.moved for line in lines] == [
        "made up for on 2026-11-21",
        "made up for on 2026-11-20",
    ]


def test_differences_of_the_same_sign_are_not_a_move():
    make_usage(cost_usd=Decimal(10))
    make_usage(cost_usd=Decimal(1), started_at=NOON + timedelta(days=1))

    lines = compare(bill_of(f"2026-11-20,{SONNET},11,1,,", f"2026-11-21,{SONNET},2,1,,")).lines

    assert [line.moved for line in lines] == ["", ""]


def test_many_days_take_a_few_queries(django_assert_num_queries):
    make_usage(cost_usd=Decimal(1))
    bill = bill_of(*(f"{DAY + timedelta(days=n)},m-{n % 9},1,1,1,1" for n in range(300)))

    with django_assert_num_queries(1):
        compare(bill)


# The page


def upload(client, text=OPENROUTER, **fields):
    file = SimpleUploadedFile("bill.csv", text.encode(), content_type="text/csv")
    return client.post(reverse("accounting:reconciliation"), {"file": file, **fields})


@pytest.mark.usefixtures("booked")
def test_staff_uploads_a_bill_and_sees_what_differs(admin_client):
    response = upload(admin_client, provider="openrouter")
    page = response.content.decode()

    assert "OpenRouter: activity export" in page
    assert "+$0.1" in page
    assert "claude-4.5-sonnet-20250929" in page
    assert [line.model for line in response.context["lines"]] == ["openai/gpt-5"]


@pytest.mark.usefixtures("booked")
def test_the_page_asks_for_names_and_answers_without_the_file(admin_client):
    first = upload(admin_client, text=HEAD + "2026-11-20,sonnet of claude,1,1,,\n")
    assert first.context["found"].unmatched
    again = {
        "sums": first.context["sums"],
        "zone": "UTC",
        "provider": "openrouter",
        "theirs-1": "sonnet of claude",
        "ours-1": SONNET,
    }

    second = admin_client.post(reverse("accounting:reconciliation"), again)
    assert not second.context["found"].unmatched
    third = admin_client.post(reverse("accounting:reconciliation"), {**again, "answer": "csv"})
    rows = list(csv.reader(io.StringIO(third.content.decode())))
    assert rows[0] == list(COLUMNS)
    assert rows[1][:6] == ["2026-11-20", SONNET, "both", "1", "0.012301000000", "0.987699000000"]
    assert rows[-1][0] == "total"
    assert third["Content-Disposition"].startswith("attachment")


def test_formulas_in_a_bill_are_inert_in_the_file(admin_client):
    page = upload(admin_client, text=HEAD + "2026-11-20,=HYPERLINK(1),1,1,,\n", answer="csv")

    assert "'=HYPERLINK(1)" in page.content.decode()


def test_names_on_a_bill_are_text_on_the_page(admin_client):
    page = upload(admin_client, text=HEAD + "2026-11-20,<script>alert(1)</script>,1,1,,\n")

    assert "<script>alert" not in page.content.decode()


def test_faults_are_shown_by_line(admin_client):
    page = upload(admin_client, text=HEAD + "2026-11-20,m,much,1,,\n").content.decode()

    assert "Line 2" in page
    assert "much" in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"zone": "Moon/Crater"}, "time zone"),
        ({"format": "mapped"}, "Name at least"),
        ({"provider": "nobody"}, "Select a valid choice"),
    ],
    ids=["zone", "columns", "provider"],
)
def test_what_cannot_be_compared_is_said(admin_client, fields, told):
    assert told in upload(admin_client, **fields).content.decode()


def test_columns_can_be_named_on_the_page(admin_client):
    columns = {"column_day": "d", "column_model": "m", "column_cost": "c"}
    page = upload(admin_client, text="d,m,c\n2026-11-20,x,3\n", format="mapped", **columns)

    assert page.context["found"].total.theirs.cost_usd == 3


def test_a_file_has_to_be_chosen_and_may_not_be_huge(admin_client, monkeypatch):
    url = reverse("accounting:reconciliation")
    assert "Choose the bill" in admin_client.post(url, {"zone": "UTC"}).content.decode()
    monkeypatch.setattr("accounting.reconciliation_page.FILE_BYTES_MAX", 10)
    assert "larger than" in upload(admin_client).content.decode()
    assert FILE_BYTES_MAX > 10


def test_the_page_without_a_bill_says_what_it_is_for(admin_client):
    page = admin_client.get(reverse("accounting:reconciliation")).content.decode()

    assert "Compare a provider" in page


def test_only_staff_may_reconcile(client, django_user_model):
    url = reverse("accounting:reconciliation")
    assert client.get(url).status_code == 302
    client.force_login(django_user_model.objects.create_user("birch"))
    assert client.get(url).status_code == 403
    assert upload(client).status_code == 403


# The command


def run(tmp_path, text, *words):
    path = tmp_path / "bill.csv"
    path.write_text(text)
    out = io.StringIO()
    call_command("reconcile", str(path), *words, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("booked")
def test_the_command_tells_the_same(tmp_path):
    told = run(tmp_path, OPENROUTER, "--provider", "openrouter")

    assert "0.5 / 0.400000000000 / 0.100000000000" in told
    assert f"anthropic/claude-4.5-sonnet-20250929 was taken for {SONNET} (same words)." in told
    assert "1 of 2 days and models differ" in told


@pytest.mark.usefixtures("booked")
def test_the_command_proposes_names_and_takes_them(tmp_path):
    text = HEAD + "2026-11-20,claude-sonnet-latest,1,1,,\n"
    assert f"--name 'claude-sonnet-latest={SONNET}'" in run(tmp_path, text)
    assert "no model here" not in run(tmp_path, text, "--name", f"claude-sonnet-latest={SONNET}")


@pytest.mark.usefixtures("booked")
def test_the_command_prints_csv(tmp_path):
    rows = list(csv.reader(io.StringIO(run(tmp_path, OPENROUTER, "--csv"))))

    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 1 + len(list(table(compare(read_bill(io.BytesIO(OPENROUTER.encode()))))))


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        (HEAD + "x,m,1,,,\n", [], "Line 2"),
        ("d,m,c\n2026-11-20,x,3\n", ["--column", "day=d"], "Name at least"),
        ("d,m,c\n2026-11-20,x,3\n", ["--column", "day"], "NAME=NAME"),
        (HEAD, ["--zone", "Moon/Crater"], "no time zone"),
    ],
    ids=["fault", "columns", "pair", "zone"],
)
def test_the_command_says_what_it_cannot_read(tmp_path, text, words, told):
    with pytest.raises(CommandError, match=told):
        run(tmp_path, text, *words)


def test_the_command_reads_named_columns_and_misses_files(tmp_path):
    words = ["--column", "day=d", "--column", "model=m", "--column", "cost=c"]
    assert "Columns as named: 1 lines" in run(tmp_path, "d,m,c\n2026-11-20,x,3\n", *words)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("reconcile", str(tmp_path / "none.csv"))
