"""The live view at one gateway shows what runs at the other: it does not matter where one looks."""

import asyncio
import json

import pytest

from tests.fakes.upstream import FakeUpstream, stream_answer, text_stream
from tests.llmgateway.live_view.test_live_view import looking_with
from tests.many.conftest import Two, body_of

COOKIE = """
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
client = Client()
client.force_login(User.objects.get(username="eve"))
name = settings.SESSION_COOKIE_NAME
print(f"{name}={client.cookies[name].value}")
"""


@pytest.mark.parametrize("looks_at", [0, 1])
async def test_a_request_at_one_gateway_is_seen_at_both_while_it_runs_and_when_it_is_over(
    two: Two, upstream: FakeUpstream, looks_at: int
):
    key = await two.make_team()
    cookie = (await asyncio.to_thread(two[looks_at].run, COOKIE))[-1]
    was_seen = asyncio.Event()
    words = text_stream("one ", "two ", "three")
    upstream.default = stream_answer(words, pause_s=0.2, ends_after=was_seen)
    async with looking_with(two[looks_at].url, cookie) as viewer, two.client(key) as http:
        asking = [
            asyncio.ensure_future(
                http.post(f"{gateway.url}/v1/messages", json=body_of(stream=True))
            )
            for gateway in two
        ]
        shown: dict[str, str] = {}
        await viewer.until(lambda frame: count_in(shown, frame, "running", "answering") == 2)
        was_seen.set()
        ids = {(await answer).headers["request-id"] for answer in asking}
        assert set(shown) == ids

        over: dict[str, str] = {}
        await viewer.until(lambda frame: count_in(over, frame, "finished", "succeeded") == 2)
        assert set(over) == ids
        assert len({frame["process"] for frame in viewer.frames}) == 2
        assert key not in json.dumps(viewer.frames)


def count_in(seen: dict[str, str], frame: dict, part: str, status: str) -> int:
    """Add the requests of a frame that are so; how many there are by now."""
    seen.update({row["id"]: row["status"] for row in frame[part] if row["status"] == status})
    return len(seen)
