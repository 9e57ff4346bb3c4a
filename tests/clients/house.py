"""A gateway that serves all tests of a module, and what each of them may ask it."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from accounting.models import UsageRecord
from tests.fakes.upstream import FakeUpstream, chat_answer, json_answer
from tests.serving import Serving
from tests.waiting import PATIENCE_S

in_the_house = pytest.mark.asyncio(loop_scope="module")


@dataclass
class House:
    """A gateway in service, its upstream, a key, and the books since the test began."""

    gateway: Serving
    upstream: FakeUpstream
    key: str
    _began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def url(self) -> str:
        return self.gateway.url

    def begin_test(self) -> None:
        """Forget what earlier tests did; what one of them left under way may still be booked, as begun before."""
        self.upstream.script.clear()
        self.upstream.requests.clear()
        self.upstream.answer_with = None
        self.upstream.default = json_answer(chat_answer("Hello."))
        self._began_at = datetime.now(UTC)

    async def records(self, count: int) -> list[UsageRecord]:
        """This test's usage records, oldest first; waits until there are as many."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            new = UsageRecord.objects.filter(started_at__gte=self._began_at)
            rows = [row async for row in new.order_by("id")]
            if len(rows) >= count:
                assert len(rows) == count
                return rows
            assert asyncio.get_running_loop().time() < until, f"{len(rows)} records, not {count}"
            await asyncio.sleep(0.02)

    async def record(self) -> UsageRecord:
        """The one usage record of this test."""
        (row,) = await self.records(1)
        return row


def at_each_head(*events: asyncio.Event) -> dict[str, Any]:
    """For an SDK's HTTP client: sets the next event when an answer's head has come, by a ping or with its beginning."""
    waiting = list(events)

    async def note(_answer: object) -> None:
        waiting.pop(0).set()

    return {"event_hooks": {"response": [note]}, "timeout": PATIENCE_S}
