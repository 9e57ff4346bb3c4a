"""Tells others of what has happened by a POST of JSON, off the hot path. No message holds an address: it may be a secret."""

from typing import Any

import httpx

from routing.upstream import doorman
from routing.upstream.guarded import guarded_client

WEBHOOK_S = 10.0
OK = range(200, 300)


class WebhookFailed(Exception):
    """Nobody took what was sent; the message says why."""


async def post_json(url: str, body: Any, *, timeout_s: float = WEBHOOK_S) -> None:
    """Send the body once; redirects are not followed.

    Raises:
        WebhookFailed: nobody took it.
    """
    try:
        async with guarded_client(timeout=timeout_s) as client:
            answer = await client.post(url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        refusal = doorman.refusal_behind(error)
        if refusal:
            raise WebhookFailed(f"is not called: {refusal}") from None
        raise WebhookFailed(f"does not answer ({type(error).__name__})") from None
    if answer.status_code not in OK:
        raise WebhookFailed(f"answered with status {answer.status_code}")
