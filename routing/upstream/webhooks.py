"""Tells others of what has happened by a POST of JSON, off the hot path. No message holds an address: it may be a secret."""

import asyncio
from typing import Any

import httpx

from routing.upstream import doorman
from routing.upstream.guarded import guarded_client

WEBHOOK_S = 10.0
OK = range(200, 300)


class WebhookFailed(Exception):
    """Nobody took what was sent; the message says why."""


async def post_json(url: str, body: Any, *, timeout_s: float = WEBHOOK_S) -> None:
    """Send the body once, in so much time at the most; redirects are not followed.

    Only the status is read: whatever else is answered, and however slowly, is left where it is.

    Raises:
        WebhookFailed: nobody took it.
    """
    try:
        async with (
            asyncio.timeout(timeout_s),
            guarded_client(timeout=timeout_s) as client,
            client.stream("POST", url, json=body) as answer,
        ):
            status = answer.status_code
    except TimeoutError:
        raise WebhookFailed(f"does not answer within {timeout_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        refusal = doorman.refusal_behind(error)
        if refusal:
            raise WebhookFailed(f"is not called: {refusal}") from None
        raise WebhookFailed(f"does not answer ({type(error).__name__})") from None
    if status not in OK:
        raise WebhookFailed(f"answered with status {status}")
