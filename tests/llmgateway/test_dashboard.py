"""The first page of the admin: how things are now, and what needs attention."""

import html
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from accounting import budget_alerts, rollups
from accounting.models import Adjustment, Budget, Team, UsageRecord, VirtualKey
from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway import attention, current, dashboard, day_figures
from llmgateway.runtime import refresh_pictures
from routing import checks, snapshot
from routing.checks import Finding
from routing.cooldown import Policy
from routing.live import Live
from routing.models import ModelAlias
from routing.providers.facts import ProviderState
from tests.factories.accounting import make_key, make_team, make_usage
from tests.factories.routing import make_deployment, make_provider

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_in_force")]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Gate:
    """Where limits are kept, as far as the page looks at it."""

    failure = ""


class Held:
    """A runtime, as far as the page looks at it."""

    def __init__(self) -> None:
        self.live = Live()
        self.gate = Gate()


@pytest.fixture
def held(monkeypatch) -> Held:
    made = Held()
    monkeypatch.setattr(current, "held", lambda: made)
    return made


def page_of(client: Client) -> str:
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def sentences() -> str:
    return " ".join(concern.sentence for concern in dashboard.concerns())


def test_what_is_skipped_and_what_rests_is_told_with_until_when(held, admin_client):
    deployment = make_deployment(make_provider(), "acme/large")
    credential = deployment.provider.credentials.get()
    now_s = time.monotonic()
    held.live.cooldowns.failed(
        deployment.pk, UpstreamBroken("no"), Policy(after=1, first_s=60), now_s
    )
    held.live.cooldowns.rest_credential(credential.pk, UpstreamUnauthorized("no"), now_s)
    skipped, resting = dashboard.resting(NOON)

    assert skipped.name == "openrouter: acme/large"
    assert skipped.why == "after 1 failure (UpstreamBroken)"
    assert timedelta(0) < skipped.until_at - NOON <= timedelta(seconds=60)
    assert resting.name == "Credential openrouter/main"
    assert resting.until_at > skipped.until_at
    page = page_of(admin_client)
    assert "Skipped for now" in page
    assert "after 1 failure (UpstreamBroken)" in page


def test_nothing_is_told_while_all_is_well(held, admin_client):
    make_deployment(make_provider())

    assert dashboard.resting(NOON) == []
    assert "Skipped for now" not in page_of(admin_client)


def test_only_those_that_need_a_credential_are_missed_one(held):
    make_provider("bare")
    make_provider("own", credential_mode="pass_through")
    make_provider("box", kind="ollama")

    assert "Provider bare has no credential." in sentences()
    assert "Provider own" not in sentences()
    assert "Provider box" not in sentences()


def test_limits_that_are_not_counted_together_are_told(held):
    assert "Redis" not in sentences()
    held.gate.failure = "ConnectionError"
    assert "Redis cannot be reached (ConnectionError)" in sentences()
    assert "GATEWAY_REDIS_OUTAGE (local)" in sentences()


# The figures.


@pytest.fixture
def some_hours() -> None:
    fresh = NOON - timedelta(minutes=2)
    make_usage(
        started_at=fresh, prompt_tokens=10, completion_tokens=5, cost_usd=Decimal(2), ttft_ms=100
    )
    make_usage(started_at=fresh, status="failed", error="UpstreamBroken", ttft_ms=None)
    make_usage(started_at=fresh, attempt=2, ttft_ms=300, cost_usd=Decimal(1))
    make_usage(started_at=NOON - timedelta(minutes=6), cost_usd=Decimal(4), ttft_ms=500)
    make_usage(started_at=NOON - timedelta(hours=22), cost_usd=Decimal(8), ttft_ms=700)
    make_usage(started_at=NOON - timedelta(hours=24), cost_usd=Decimal(16), ttft_ms=900)
    make_usage(started_at=NOON - timedelta(days=20), cost_usd=Decimal(100))


@pytest.mark.usefixtures("some_hours")
def test_the_last_minutes_are_told():
    now = day_figures.last_minutes(NOON)

    assert (now.requests, now.attempts, now.failed) == (2, 3, 1)
    assert (now.tokens, now.spend_usd) == (15, Decimal(3))
    assert (now.ttft_ms, now.slow_ttft_ms) == (300, 300)


@pytest.mark.usefixtures("some_hours")
def test_a_day_is_the_running_hour_and_the_23_before():
    begin = day_figures.day_began_at(NOON)
    hours = day_figures.Hours(begin.date())
    day = hours.between(begin, begin + timedelta(days=1))

    assert begin == datetime(2026, 11, 19, 13, tzinfo=UTC)
    assert day_figures.day_began_at(NOON + timedelta(minutes=59)) == begin
    assert (day.requests, day.attempts, day.failed) == (4, 5, 1)
    assert (day.spend_usd, day.tokens) == (Decimal(15), 15)  # 2 + 1 + 4 + 8
    assert day.error_share == 0.2  # 1 of 5 attempts
    assert day.ttft_ms == pytest.approx(300, rel=0.06)
    assert day.slow_ttft_ms == pytest.approx(700, rel=0.06)
    before = hours.between(begin - timedelta(days=1), begin)
    assert (before.requests, before.spend_usd, before.ttft_ms) == (1, 16, pytest.approx(900, rel=0.06))  # fmt: skip
    columns = hours.each_between(begin, begin + timedelta(days=1))
    assert [hour.requests for hour in columns] == [0, 1, *[0] * 20, 3, 0]
    assert columns[0] == day_figures.Span()


@pytest.mark.usefixtures("some_hours")
def test_a_correction_counts_in_the_hour_of_its_record():
    record = UsageRecord.objects.get(cost_usd=Decimal(8))
    adjustment = Adjustment(
        record_id=record.pk,
        record_started_at=record.started_at,
        team=record.team,
        key_id=record.key_id,
        amount_usd=Decimal("0.5"),
        reason="new prices",
        run="run-1",
        at=NOON,
    )
    adjustment.save(force_insert=True)
    rollups.apply_adjustments([adjustment], [record])
    begin = day_figures.day_began_at(NOON)

    day = day_figures.Hours(begin.date()).between(begin, begin + timedelta(days=1))
    assert day.spend_usd == Decimal("15.5")  # 2 + 1 + 4 + 8, and 0.5 of the correction


@pytest.mark.usefixtures("some_hours")
def test_each_figure_is_told_now_and_beside_the_day_before(django_assert_num_queries):
    with django_assert_num_queries(3):
        requests, spend, tokens, errors, ttft, slow = day_figures.figure_cards(NOON)

    assert (requests.now, requests.day, requests.day_before) == ("2", "4", "1")
    assert (requests.today, requests.yesterday) == ("3", "2")
    assert (spend.day, spend.day_before, spend.today) == ("$15.00", "$16.00", "$7.00")
    assert (tokens.day, errors.day, errors.day_before) == ("15", "20.0 %", "0.0 %")
    assert (ttft.now, slow.now) == ("300 ms", "300 ms")
    assert requests.spark.words == "By the hour, the last 24; 3 in the highest."
    assert len(requests.spark.points.split()) == len(requests.spark.before.split()) == 24


def test_what_failed_is_told_by_provider_and_error_the_most_frequent_first(
    django_assert_num_queries,
):
    for number in range(4):
        make_usage(started_at=NOON - timedelta(hours=number), provider="near", status="succeeded")
        make_usage(started_at=NOON - timedelta(hours=number), provider="near", status="failed", error="Slow")  # fmt: skip
    make_usage(started_at=NOON, provider="far", status="failed", error="Lost")
    make_usage(started_at=NOON - timedelta(hours=23, minutes=59), provider="far", status="failed", error="Old")  # fmt: skip
    make_usage(started_at=NOON, provider="far", status="client_closed", error="ClientGone")
    with django_assert_num_queries(1):
        slow, lost = day_figures.errors_of_last_day(NOON)

    assert (slow.provider, slow.error, slow.failed, slow.share) == ("near", "Slow", 4, 0.5)
    assert (lost.provider, lost.error, lost.failed, lost.share) == ("far", "Lost", 1, 0.5)
    assert slow.link == "/usage/requests/?provider=near&error=Slow&from=2026-11-19T13%3A00"


def test_the_page_leads_from_an_error_to_its_requests(held, admin_client):
    make_usage(started_at=datetime.now(UTC), status="failed", error="UpstreamBroken")
    page = page_of(admin_client)
    link = re.search(r'href="(/usage/requests/[^"]+)">openrouter: UpstreamBroken</a>', page)

    assert "1 attempt, 100.0 % of those at openrouter" in page
    assert "/usage/requests/req_" in html.unescape(admin_client.get(link[1]).content.decode())


def test_only_the_newest_rows_of_many_are_read(held, monkeypatch):
    monkeypatch.setattr(day_figures, "NOW_ROWS_MAX", 2)
    for _ in range(3):
        make_usage(started_at=NOON)

    assert day_figures.last_minutes(NOON).is_cut
    requests, spend, tokens, errors, ttft, _slow = day_figures.figure_cards(NOON)
    assert requests.now == "2+"
    assert errors.now == "0.0 %"
    assert (requests.today, requests.yesterday) == ("3", "0")
    assert ttft.today == "–"
    assert (spend.spark, tokens.spark) == (None, None)


def test_large_counts_are_told_in_millions_and_billions(held):
    make_usage(started_at=NOON, prompt_tokens=1_234_500_000, completion_tokens=0)
    make_usage(started_at=NOON - timedelta(days=1), prompt_tokens=12_300_000)
    tokens = day_figures.figure_cards(NOON)[2]

    assert (tokens.today, tokens.yesterday) == ("1.2 billion", "12.3 million")


def test_a_line_goes_through_the_hours_that_have_a_value():
    line = day_figures.spark([0, None, 10], [20, None, None], str)

    assert line.points == "0.0,23.0 8.7,12.0"
    assert line.before == "0.0,1.0 0.0,1.0"  # one value alone is a dot
    assert line.words == "By the hour, the last 3; 10 in the highest."
    assert day_figures.spark([5], [None], str).before == ""
    assert day_figures.spark([0, 0], [3, 3], str) is None
    assert day_figures.spark([], [], str) is None


# The page.


def test_without_a_request_the_page_leads_to_the_first_steps(held, admin_client):
    page = page_of(admin_client)
    assert "Take the first steps" in page
    assert "There is no provider yet" in page

    make_usage()
    page = page_of(admin_client)
    assert "Take the first steps" not in page
    assert "The last 24 hours, and now" in page
    assert "Failed in 24 hours" not in page
    assert "/usage/requests/req_" in page


def test_staff_who_may_not_set_up_are_not_led_there(held, client):
    client.force_login(User.objects.create_user("staff", is_staff=True))

    page = page_of(client)
    assert "first-steps" not in page
    assert "No request yet" in page


def test_the_health_of_providers_is_told_the_ill_first(held, admin_client):
    well = ProviderState(credit_usd=Decimal("12.5"), latency_ms=1234)
    checks.store(make_provider("a-well").pk, Finding(well, NOON))
    checks.store(make_provider("z-ill").pk, Finding(ProviderState("No such key"), NOON))
    make_provider("new")
    make_provider("off", enabled=False)

    told = [(line.row.slug, line.state) for line in dashboard.provider_lines()]
    assert told == [("z-ill", "problem"), ("new", "not checked"), ("a-well", "ok")]
    page = page_of(admin_client)
    assert "1,234 ms, $12.50 left" in page
    assert "Provider z-ill has a problem: No such key" in page


def test_more_providers_than_there_is_room_for_are_counted(held, admin_client):
    for number in range(dashboard.PROVIDERS_MAX + 2):
        make_provider(f"p{number}", kind="ollama")

    assert ">2 more</a>" in page_of(admin_client)


def test_budgets_near_their_limit_are_told_the_most_spent_first(held, admin_client):
    now = datetime.now(UTC)
    for slug, spent in (("alder", 85), ("birch", 120), ("cedar", 10)):
        Budget.objects.create(team=make_team(slug), amount_usd=Decimal(100))
        make_usage(team=slug, started_at=now, cost_usd=Decimal(spent))
    budget_alerts.note_passed(now=now)

    found = attention.budgets_near_their_limit(now)
    assert [(str(row.budget.team), row.threshold) for row in found] == [
        ("birch", 100),
        ("alder", 80),
    ]
    page = page_of(admin_client)
    assert "Budgets near their limit" in page
    assert "$120.00 of $100.00" in page
    # Of a window that is over, and of a budget that is switched off, nothing is told.
    assert attention.budgets_near_their_limit(now + timedelta(days=40)) == []
    Budget.objects.update(enabled=False)
    assert attention.budgets_near_their_limit(now) == []


def test_the_live_configuration_is_told_and_why_a_newer_one_is_refused(held, admin_client):
    assert "not loaded in this process yet" in page_of(admin_client)
    make_deployment(make_provider())
    refresh_pictures()
    page = page_of(admin_client)
    assert "in force since" in page
    assert "refused" not in page

    snapshot.refuse("ValueError: a broken <rule>", number=77)
    page = page_of(admin_client)
    assert "A newer one is refused: ValueError: a broken <rule>" in page
    assert "The newest configuration (picture 77) is not in force" in page


def test_nothing_needs_attention_where_all_is_well(held, admin_client):
    make_deployment(make_provider())
    ModelAlias.objects.create(name="m")
    make_key()
    make_usage()

    assert dashboard.concerns() == []
    assert "Nothing needs attention." in page_of(admin_client)
    assert (Team.objects.count(), VirtualKey.objects.count()) == (1, 1)


def test_all_credentials_switched_off_are_told(held):
    deployment = make_deployment(make_provider())
    assert "All credentials" not in sentences()
    deployment.provider.credentials.update(enabled=False)

    assert "All credentials are switched off." in sentences()
