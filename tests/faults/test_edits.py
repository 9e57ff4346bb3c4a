"""Routes, keys, credentials and prices edited through the management API of a process that is busy: each edit is live.

Beside the edits run requests and streams, of which none fails; afterwards the books are right to the last picodollar.
"""

import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tests.fakes.upstream import SeenRequest
from tests.faults.ground import Ground, Installed, Told
from tests.faults.test_services import under_load
from tests.faults.upstream import ASKED_AS
from tests.waiting import PATIENCE_S

ROUNDS = 10
PICO_PER_TOKEN = 1_000_000
"""One USD per million tokens."""
TOKEN = """
from django.contrib.auth.models import User
from llmgateway.api import tokens
print(tokens.mint(User.objects.create_superuser("boss"), "edits", scope="admin").secret)
"""


@dataclass
class Editor:
    """Edits the configuration, and looks how long it takes until each edit is in force."""

    ground: Ground
    api: httpx.AsyncClient
    http: httpx.AsyncClient
    alias: str = ""
    credential: str = ""
    rates: dict[int, int] = field(default_factory=dict)
    """USD per million prompt tokens by the price's number; completion tokens cost twice that."""
    secrets: list[str] = field(default_factory=list)
    taken_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.api.request(method, f"/api/{path}", json=body)
        assert answer.is_success, (path, answer.text)
        return answer.json() if answer.content else None

    async def begin(self) -> None:
        """What is edited later; with it, all that the API needs is loaded."""
        made = await self.send("POST", "aliases/", {"name": "edited", "match": "exact"})
        self.alias = f"aliases/{made['id']}/"
        found = await self.send("GET", "credentials/?provider=chat")
        self.credential = f"credentials/{found['results'][0]['id']}/"
        for edit in (self.edit_route, self.edit_key, self.edit_credential, self.edit_price):
            await edit(0)
        self.taken_s.clear()

    async def live(self, kind: str, is_live: Callable[[], Awaitable[bool]]) -> None:
        """Ask until the edit that was just answered is in force, and keep how long that took."""
        began_s = time.monotonic()
        while True:
            asked_s = time.monotonic()
            if await is_live():
                break
            assert asked_s - began_s < PATIENCE_S, f"an edit of a {kind} was lost"
        self.taken_s[kind].append(asked_s - began_s)

    async def edit_route(self, number: int) -> None:
        model = f"sound+{number}"
        made = await self.send(
            "POST", "deployments/", {"provider": "native", "upstream_model": model}
        )
        await self.send(
            "PATCH", self.alias, {"routes": [{"targets": [{"deployment": made["id"]}]}]}
        )

        async def is_live() -> bool:
            told = await self.ground.ask(self.http, "edited")
            if number == 0 and told.status != 200:  # the alias had no route before
                return False
            return bool(self.seen(told).json["model"] == model)

        await self.live("route", is_live)

    async def edit_key(self, number: int) -> None:
        made = await self.send("POST", "keys/", {"team": "alder", "name": f"key-{number}"})
        self.secrets.append(made["secret"])
        async with self.ground.client() as http:
            http.headers["x-api-key"] = made["secret"]

            async def is_taken() -> bool:
                told = await self.ground.ask(http, "chat/sound", stream=False)
                assert told.status in {200, 401}
                return told.status == 200

            async def is_refused() -> bool:
                return not await is_taken()

            await self.live("new key", is_taken)
            await self.send("POST", f"keys/{made['id']}/revoke/")
            await self.live("revoked key", is_refused)

    async def edit_credential(self, number: int) -> None:
        secret = f"sk-planted-number-{number:04}-0123456789abcdef"
        self.secrets.append(secret)
        await self.send("PATCH", self.credential, {"secret": secret})

        async def is_live() -> bool:
            told = await self.ground.ask(self.http, "chat/sound")
            return self.seen(told).headers["authorization"] == f"Bearer {secret}"

        await self.live("credential", is_live)

    async def edit_price(self, number: int) -> None:
        made = await self.send(
            "POST",
            "prices/",
            {
                "provider": "native",
                "upstream_model": "sound",
                "prompt_usd_per_mtok": str(number + 1),
                "completion_usd_per_mtok": str(2 * (number + 1)),
                "valid_from_at": datetime.now(UTC).isoformat(),
                "source": "manual",
            },
        )
        self.rates[made["id"]] = number + 1

        async def is_live() -> bool:
            told = await self.ground.ask(self.http, "native/sound", stream=False)
            row = await asyncio.to_thread(self.record_of, told)
            return bool(row["price_id"] == made["id"])

        await self.live("price", is_live)

    def seen(self, told: Told) -> SeenRequest:
        """What the upstream was asked for a client's request."""
        assert told.status == 200, told
        return next(
            seen
            for seen in reversed(self.ground.upstream.requests)
            if seen.headers[ASKED_AS] == told.id
        )

    def record_of(self, told: Told) -> dict[str, Any]:
        """The request's record, once it is booked."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for row in reversed(self.ground.gateway.records()):
                if row["request_id"] == told.id:
                    return row
            time.sleep(0.02)
        raise AssertionError("a request was not booked")


async def test_edits_of_a_busy_process_are_live_within_a_second_and_fail_no_request(
    installed: Installed, tmp_path: Path
):
    with installed.ground(tmp_path / "data") as ground:
        token = await asyncio.to_thread(ground.gateway.manage, "shell", "--no-imports", "-c", TOKEN)
        headers = {"authorization": f"Bearer {token.strip()}"}
        async with (
            httpx.AsyncClient(base_url=ground.gateway.url, headers=headers, timeout=60) as api,
            ground.client() as http,
        ):
            editor = Editor(ground, api, http, secrets=[token.strip()])
            await editor.begin()
            await ground.warm_up()
            async with under_load(ground, "chat/sound", "native/sound", "chat/slow"):
                for number in range(1, ROUNDS + 1):
                    await editor.edit_route(number)
                    await editor.edit_key(number)
                    await editor.edit_credential(number)
                    await editor.edit_price(number)

        rows = await ground.check()
        ground.check_secrets(*editor.secrets)
        for kind, taken_s in editor.taken_s.items():
            assert len(taken_s) == ROUNDS
            assert statistics.median(taken_s) < 1, (kind, taken_s)
        check_costs(rows, editor.rates)
        ground.gateway.stop()
        ground.check_stopped()
        await asyncio.to_thread(ground.gateway.manage, "roll_up_usage", "--verify")


def check_costs(rows: list[dict[str, Any]], rates: dict[int, int]) -> None:
    """Each record costs what the price says that it names, and each price was in force for some."""
    priced = [row for row in rows if row["price_id"] is not None]
    assert {row["price_id"] for row in priced} == set(rates)
    for row in priced:
        assert (row["provider"], row["upstream_model"]) == ("native", "sound")
        tokens = row["prompt_tokens"] + 2 * row["completion_tokens"]
        assert row["cost_usd"] == tokens * rates[row["price_id"]] * PICO_PER_TOKEN
