"""The WebSocket that a page of the live view listens to: each viewer is told of what they may see, and nothing else."""

import time
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import get_user
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from accounting.principals import Principal, principal_of
from llmgateway import current
from llmgateway.live_view.publishing import GROUP
from llmgateway.sign_in import second_factor

NOT_YOURS = 4403
CHECK_EVERY_S = 30.0


class LiveConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """One viewer. Who they are is looked at anew now and then: sessions end, and roles go, while pages are open."""

    principal = Principal("")
    checked_s = 0.0
    has_joined = False

    async def connect(self) -> None:
        """Let in whoever may see anything."""
        await self._check()
        await self.accept()
        if self.principal.is_outsider:
            await self.close(NOT_YOURS)
            return
        await self.channel_layer.group_add(GROUP, self.channel_name)
        self.has_joined = True
        (await current.runtime()).live_view.join()

    async def disconnect(self, code: int) -> None:
        """Let others look on, or nobody."""
        del code
        if self.has_joined:
            self.has_joined = False
            (await current.runtime()).live_view.leave()
            await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Viewers have nothing to say."""

    async def live_frame(self, event: dict[str, Any]) -> None:
        """A process tells of its requests."""
        if time.monotonic() - self.checked_s > CHECK_EVERY_S:
            await self._check()
            if self.principal.is_outsider:
                await self.close(NOT_YOURS)
                return
        await self.send_json(
            {
                "process": event["process"],
                "running": self._mine(event["running"]),
                "finished": self._mine(event["finished"]),
                **({"count": event["count"]} if self.principal.is_staff else {}),
            }
        )

    def _mine(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if self.principal.may_see(row["team"], row["member"])]

    async def _check(self) -> None:
        # Read anew: it is gone once somebody has signed out, and another password ends it, too.
        engine = import_module(settings.SESSION_ENGINE)
        session = engine.SessionStore(self.scope["session"].session_key)
        user = await get_user({"session": session})
        self.principal = await sync_to_async(_principal_of)(user, session)
        self.checked_s = time.monotonic()


def _principal_of(user: Any, session: Any) -> Principal:
    """Who the person is. Nobody, as long as a second factor is missing."""
    if user.is_authenticated and second_factor.is_missing(user, session):
        return Principal("")
    return principal_of(user)
