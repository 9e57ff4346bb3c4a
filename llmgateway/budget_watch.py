"""The loop that looks at budgets beside the requests, and tells people of thresholds by e-mail and webhook.

What is passed, who is told and that each is told once is decided in accounting/budget_alerts.py; nothing here decides
whether a request is let in.
"""

import asyncio
import contextlib
import importlib
import logging
import smtplib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.core.mail import EmailMessage

from accounting import budget_alerts
from accounting.models import BudgetAlert
from accounting.windows import Window, window_of
from llmgateway.postgres import waits
from llmgateway.provider_checks import in_own_connection
from llmgateway.tasks import spawn

log = logging.getLogger(__name__)

WEBHOOK = "webhook"
NO_MAIL_SERVER = "No mail server is set up (EMAIL_URL), so nobody can be written to."
SENT_AT_ONCE = 8
NOBODY = (
    "There is nobody to tell: the budget names no address and no webhook, and the team has no lead with an e-mail "
    "address."
)
Result = TypeVar("Result")


class BudgetWatch:
    """One for each runtime."""

    def __init__(self, *, every_s: float | None = None) -> None:
        self._every_s = settings.BUDGET_ALERTS_EVERY_S if every_s is None else every_s
        self._watch: asyncio.Task[None] | None = None
        self._is_ending = threading.Event()
        self._thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="budget alerts", initializer=waits.bear_silence
        )
        # A thread of its own, so that a slow mail server does not hold up what goes to webhooks.
        self._mail_thread = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="budget mails", initializer=waits.bear_silence
        )

    def start(self) -> None:
        """Begin to look, unless GATEWAY_BUDGET_ALERTS_EVERY_S is 0."""
        if self._every_s and self._watch is None:
            self._watch = spawn(self._watch_forever(), name="budget alerts")

    async def stop(self) -> None:
        """End the look that is under way; an alert that is being sent is tried again by whoever looks next."""
        self._is_ending.set()
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        for thread in (self._mail_thread, self._thread):
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)

    async def _watch_forever(self) -> None:
        is_told = False
        while True:
            try:
                await self.look()
                is_told = False
            except Exception:
                # The loop must outlive whatever one round brings, such as a database that is away for a while.
                if not is_told:
                    log.exception("budgets cannot be looked at for now")
                is_told = True
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Note what is passed, and send what is due: some at once, so that one who is slow holds up nobody else."""
        turn = asyncio.Semaphore(SENT_AT_ONCE)

        async def send(alert: BudgetAlert) -> None:
            async with turn:
                await self._send(alert)

        alerts = await self._in_thread(_look)
        ends = await asyncio.gather(*(send(alert) for alert in alerts), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _in_thread(
        self, work: Callable[[], Result], *, thread: ThreadPoolExecutor | None = None
    ) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread or self._thread, in_own_connection, work)

    async def _send(self, alert: BudgetAlert) -> None:
        url = alert.budget.alert_webhook_url
        is_called = bool(url) and WEBHOOK not in alert.told
        of_mails, of_call = await asyncio.gather(
            self._in_thread(
                partial(write_mails, alert, is_ending=self._is_ending.is_set),
                thread=self._mail_thread,
            ),
            self._call(url if is_called else "", alert),
        )
        errors = of_mails + of_call
        if not (url or errors or alert.told):
            errors.append(NOBODY)
        await self._in_thread(partial(budget_alerts.ended, alert, errors, now=datetime.now(UTC)))
        extra = {"budget": alert.budget_id, "threshold": alert.threshold, "told": len(alert.told)}
        if errors:
            log.warning("a budget's alert could not be sent to all", extra=extra)
        else:
            log.info("a budget's alert was sent", extra=extra)

    async def _call(self, url: str, alert: BudgetAlert) -> list[str]:
        """Tell the webhook, if there is one to be told; what went wrong, without its address."""
        if not url:
            return []
        # Loaded by the first alert, beside the requests: httpx costs every start 0.25 s otherwise.
        webhooks = await asyncio.to_thread(importlib.import_module, "routing.upstream.webhooks")
        try:
            await webhooks.post_json(url, budget_alerts.payload(alert, _window_of(alert)))
        except webhooks.WebhookFailed as error:
            return [f"The webhook at {budget_alerts.masked(url)} {error}."]
        await self._in_thread(partial(budget_alerts.reached, alert, WEBHOOK))
        return []


def _look() -> list[BudgetAlert]:
    now = datetime.now(UTC)
    budget_alerts.note_passed(now=now)
    return list(budget_alerts.claim_due(now=now))


def write_mails(alert: BudgetAlert, *, is_ending: Callable[[], bool]) -> list[str]:
    """Write to all who have not been told yet, each on their own; what went wrong. Blocks; for a thread.

    Once ``is_ending``, nobody further is written to: a mail server that hangs would hold up the end of the process for
    each of them.
    """
    waiting = [whom for whom in budget_alerts.addresses(alert.budget) if whom not in alert.told]
    if not waiting:
        return []
    if not settings.EMAIL_IS_SET_UP:
        return [NO_MAIL_SERVER]
    text = budget_alerts.message(alert, _window_of(alert), url=settings.PUBLIC_URL)
    errors = []
    for address in waiting:
        if is_ending():
            errors.append(f"{address} was not written to: the process ends.")
            continue
        mail = EmailMessage(budget_alerts.headline(alert), text, to=[address])
        try:
            mail.send()
        except (smtplib.SMTPException, OSError, ValueError) as error:
            errors.append(f"{address} could not be written to ({type(error).__name__}).")
        else:
            budget_alerts.reached(alert, address)
    return errors


def _window_of(alert: BudgetAlert) -> Window:
    row = alert.budget
    return window_of(row.window, row.time_zone, alert.window_began_at)
