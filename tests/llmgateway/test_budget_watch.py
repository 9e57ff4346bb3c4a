"""Alerts of budgets: by e-mail and webhook, each once however many look, again after a failure, and never with a secret."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.mail import EmailMessage

from accounting import budget_alerts
from accounting.models import Budget, BudgetAlert, Membership, Project
from llmgateway.budget_watch import NO_MAIL_SERVER, NOBODY, BudgetWatch
from llmgateway.runtime import Runtime
from tests.factories.accounting import make_key, make_team, make_usage
from tests.fakes.upstream import NOTHING_AT_ALL, Answer, FakeUpstream, json_answer
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _mail_server(settings):
    settings.EMAIL_IS_SET_UP = True


@sync_to_async
def make_budget(**fields) -> Budget:
    least = {"amount_usd": Decimal(10), "alert_emails": ["cfo@example.com"]}
    if not {"project", "key"} & fields.keys():
        fields.setdefault("team", make_team())
    return Budget.objects.create(**{**least, **fields})


@sync_to_async
def spend(amount: str, **fields) -> None:
    make_usage(cost_usd=Decimal(amount), started_at=datetime.now(UTC), **fields)


@sync_to_async
def alerts() -> list[BudgetAlert]:
    return list(BudgetAlert.objects.order_by("threshold"))


async def look(*watches: BudgetWatch) -> None:
    """One look of each, at the same time."""
    used = watches or (BudgetWatch(every_s=0),)
    await asyncio.gather(*(watch.look() for watch in used))
    await asyncio.gather(*(watch.stop() for watch in used))


async def test_nobody_is_told_below_the_thresholds_and_each_is_told_once(mailoutbox):
    await make_budget()
    await spend("7.99")
    await look()
    assert mailoutbox == []

    await spend("0.01")  # 8 of 10: 80 %
    await look()
    await look()
    (mail,) = mailoutbox
    assert mail.to == ["cfo@example.com"]
    assert mail.subject == "80 % of the monthly budget of team alder are spent: 8.00 of 10.00 USD"
    assert "It begins anew on" in mail.body
    assert "refused" in mail.body

    await spend("5")
    await look()
    assert len(mailoutbox) == 2
    first, second = await alerts()
    assert (first.threshold, first.spent_usd, first.amount_usd) == (80, 8, 10)
    assert (second.threshold, second.spent_usd, second.told) == (100, 13, ["cfo@example.com"])
    assert first.sent_at
    assert second.sent_at


async def test_many_workers_tell_each_threshold_once(mailoutbox):
    await make_budget(alert_emails=["a@example.com", "b@example.com"])
    await spend("11")

    async with FakeUpstream(json_answer({})) as hook:
        await sync_to_async(Budget.objects.update)(alert_webhook_url=f"{hook.url}/hook")
        await look(*(BudgetWatch(every_s=0) for _ in range(4)))
        await look(*(BudgetWatch(every_s=0) for _ in range(4)))

        # 2 thresholds, each to both people and the webhook
        assert sorted(mail.to[0] for mail in mailoutbox) == sorted(
            2 * ["a@example.com", "b@example.com"]
        )
        assert len(hook.requests) == 2
    assert all(alert.sent_at and alert.attempts == 1 for alert in await alerts())


async def test_a_webhook_is_told_in_plain_words_and_exact_amounts():
    team = await sync_to_async(make_team)()
    project = await sync_to_async(Project.objects.create)(team=team, slug="web")
    async with FakeUpstream(json_answer({})) as hook:
        await make_budget(
            project=project,
            window="total",
            hard=False,
            alert_thresholds=[50],
            alert_emails=[],
            alert_webhook_url=f"{hook.url}/services/T0/secret",
        )
        await spend("5.123456789012", project="web")
        await look()

        (seen,) = hook.requests
        body = seen.json
        assert seen.path.endswith("/services/T0/secret")
        assert body.pop("id").startswith("budget-alert-")
        assert body.pop("at")
        assert body == {
            "event": "budget_threshold",
            "text": "50 % of the total budget of project alder/web are spent: 5.12 of 10.00 USD.",
            "team": "alder",
            "project": "web",
            "key": None,
            "window": "total",
            "time_zone": "UTC",
            "began_at": "1970-01-01T00:00:00+00:00",
            "ends_at": None,
            "threshold_percent": 50,
            "spent_usd": "5.123456789012",
            "amount_usd": "10",
            "hard": False,
        }


async def test_without_addresses_the_leads_of_the_team_are_told(mailoutbox):
    def cast() -> Budget:
        team = make_team()
        for name, role, email in (
            ("ada", "lead", "ada@example.com"),
            ("bob", "member", "bob@example.com"),
            ("eve", "auditor", "eve@example.com"),
            ("mute", "lead", ""),
        ):
            user = User.objects.create(username=name, email=email)
            Membership.objects.create(team=team, user=user, role=role)
        gone = User.objects.create(username="gone", email="gone@example.com", is_active=False)
        Membership.objects.create(team=team, user=gone, role="lead")
        other = User.objects.create(username="other", email="other@example.com")
        Membership.objects.create(team=make_team("birch"), user=other, role="lead")
        return Budget.objects.create(key=make_key(team).row, amount_usd=Decimal(1))

    budget = await sync_to_async(cast)()
    await spend("0.9", key_id=budget.key_id)
    await look()

    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]
    assert "API key alder/laptop" in mailoutbox[0].subject


async def test_without_a_mail_server_the_alert_says_so_and_the_webhook_is_told_all_the_same(
    settings, mailoutbox
):
    settings.EMAIL_IS_SET_UP = False
    async with FakeUpstream(json_answer({})) as hook:
        await make_budget(alert_thresholds=[80], alert_webhook_url=hook.url)
        await spend("9")
        await look()
        assert len(hook.requests) == 1

        (alert,) = await alerts()
        assert (alert.told, alert.sent_at, alert.error) == (["webhook"], None, NO_MAIL_SERVER)

        settings.EMAIL_IS_SET_UP = True
        await sync_to_async(budget_alerts.send_again)(alert)
        await look()
        assert len(hook.requests) == 1  # it had been told
    (alert,) = await alerts()
    assert (alert.told, alert.error) == (["webhook", "cfo@example.com"], "")
    assert len(mailoutbox) == 1


async def test_nobody_to_tell_is_told_on_the_page():
    await make_budget(alert_emails=[], alert_thresholds=[80])
    await spend("9")
    await look()

    (alert,) = await alerts()
    assert (alert.sent_at, alert.error) == (None, NOBODY)


async def test_a_webhook_that_fails_is_tried_again_after_a_while_and_its_address_is_told_nowhere(
    caplog,
):
    async with FakeUpstream(json_answer({})) as hook:
        await make_budget(
            alert_emails=[], alert_thresholds=[80], alert_webhook_url=f"{hook.url}/T0/s3cret"
        )
        await spend("9")
        hook.answers(json_answer({}, status=503))
        await look()
        (alert,) = await alerts()
        assert alert.error.endswith("/… answered with status 503.")
        assert alert.error.startswith("The webhook at http://127.0.0.1:")
        assert "s3cret" not in alert.error + caplog.text

        await look()  # too soon
        assert len(hook.requests) == 1
        hook.answers(NOTHING_AT_ALL)
        await sync_to_async(BudgetAlert.objects.update)(
            at=datetime.now(UTC) - timedelta(seconds=15)
        )
        await look()
        (alert,) = await alerts()
        assert alert.attempts == 2
        assert "does not answer (" in alert.error
        assert "s3cret" not in alert.error + caplog.text

        await sync_to_async(BudgetAlert.objects.update)(
            at=datetime.now(UTC) - timedelta(seconds=75)
        )
        await look()
        assert len(hook.requests) == 3
    (alert,) = await alerts()
    assert (alert.error, alert.told) == ("", ["webhook"])
    assert alert.sent_at


async def test_a_webhook_that_does_not_answer_holds_up_nobody_else():
    """It is answered only once the other has been told."""
    async with FakeUpstream() as slow, FakeUpstream() as quick:
        told = asyncio.Event()
        slow.answers(Answer([b"{}"], begins_after=told))

        def tell(_request):
            told.set()
            return json_answer({})

        quick.answer_with = tell
        team = await sync_to_async(make_team)()
        for hook in (slow, quick):
            await make_budget(
                team=team if hook is slow else await sync_to_async(make_team)("birch"),
                alert_emails=[],
                alert_thresholds=[80],
                alert_webhook_url=hook.url,
            )
        await spend("9")
        await spend("9", team="birch")
        await look()

        assert (len(slow.requests), len(quick.requests)) == (1, 1)
    assert [alert.told for alert in await alerts()] == [["webhook"], ["webhook"]]


async def test_a_mail_server_that_does_not_answer_holds_up_no_webhook(monkeypatch):
    told = threading.Event()

    def wait_to_be_told(_mail: EmailMessage) -> int:
        assert told.wait(PATIENCE_S)
        return 1

    monkeypatch.setattr(EmailMessage, "send", wait_to_be_told)  # a mail server in a process
    async with FakeUpstream() as hook:

        def tell(_request):
            told.set()
            return json_answer({})

        hook.answer_with = tell
        await make_budget(alert_thresholds=[80], alert_webhook_url=hook.url)
        await spend("9")
        await look()

    (alert,) = await alerts()
    assert sorted(alert.told) == ["cfo@example.com", "webhook"]


async def test_a_mail_server_that_hangs_holds_up_the_end_for_one_address_at_the_most(monkeypatch):
    """What is left is written by whoever looks next."""
    begun, answered = threading.Event(), threading.Event()
    written: list[str] = []

    def hang(mail: EmailMessage) -> int:
        written.extend(mail.to)
        begun.set()
        assert answered.wait(PATIENCE_S)
        return 1

    monkeypatch.setattr(EmailMessage, "send", hang)
    await make_budget(alert_emails=["a@example.com", "b@example.com", "c@example.com"])
    await spend("11")  # both thresholds: two alerts wait
    watch = BudgetWatch(every_s=60)
    watch.start()
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    ending = asyncio.ensure_future(watch.stop())
    await until(lambda: watch._is_ending.is_set())
    answered.set()
    await ending
    assert written == ["a@example.com"]


async def test_after_the_last_attempt_an_alert_is_left_with_its_reason(mailoutbox):
    await make_budget(alert_thresholds=[80])
    await spend("9")
    await sync_to_async(budget_alerts.note_passed)(now=datetime.now(UTC))
    await sync_to_async(BudgetAlert.objects.update)(attempts=budget_alerts.ATTEMPTS_MAX)
    await look()
    assert mailoutbox == []

    (alert,) = await alerts()
    assert budget_alerts.due_at(alert) is None
    assert await sync_to_async(budget_alerts.send_again)(alert)
    await look()
    assert len(mailoutbox) == 1
    assert not await sync_to_async(budget_alerts.send_again)(alert)


async def test_a_mail_server_that_is_away_is_told_for_each_address(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # nobody listens there
    await make_budget(alert_thresholds=[80])
    await spend("9")
    await look()

    (alert,) = await alerts()
    assert alert.error == "cfo@example.com could not be written to (ConnectionRefusedError)."


async def test_a_budget_that_is_switched_off_or_of_another_window_tells_nobody(mailoutbox):
    await make_budget(enabled=False)
    await make_budget(window="day", alert_thresholds=[])
    await spend("100")
    await look()

    assert mailoutbox == []
    assert await alerts() == []


async def test_a_serving_process_looks_by_itself_and_survives_what_a_look_brings(
    settings, mailoutbox, tmp_path, monkeypatch
):
    settings.BUDGET_ALERTS_EVERY_S = 0.02
    await make_budget(alert_thresholds=[80])
    await spend("9")
    failing = [True]
    real = budget_alerts.note_passed

    def fail_once(*, now: datetime) -> list[BudgetAlert]:
        if failing:
            failing.pop()
            raise RuntimeError("the database is away")
        return real(now=now)

    monkeypatch.setattr(budget_alerts, "note_passed", fail_once)
    runtime = Runtime(tmp_path / "journal")
    await runtime.start()
    await until(lambda: mailoutbox)
    await runtime.stop()

    assert len(mailoutbox) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T0/secret?key=x", "https://hooks.example/…"),
        ("https://user:word@hooks.example:8443/x", "https://hooks.example:8443/…"),
        ("", ""),
        ("nonsense", "…"),
    ],
)
def test_of_a_webhook_only_the_host_is_shown(url, shown):
    assert budget_alerts.masked(url) == shown
