"""Finds the client's secret in the headers; knows nothing of keys."""

from collections.abc import Mapping

BEARER = "bearer "


def find_secrets(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What may be the gateway's key, most certain first, without repetition.

    ``x-llmgateway-key`` is ours alone and hides the others. Otherwise a client sends ``x-api-key`` (Anthropic's
    SDK), a bearer token (OpenAI's SDK, Claude Code), or the same value in both (Claude Code's apiKeyHelper).
    """
    own = headers.get("x-llmgateway-key", "").strip()
    if own:
        return (own,)
    found: list[str] = []
    authorization = headers.get("authorization", "")
    bearer = (
        authorization[len(BEARER) :].strip()
        if authorization[: len(BEARER)].lower() == BEARER
        else ""
    )
    for secret in (headers.get("x-api-key", "").strip(), bearer):
        if secret and secret not in found:
            found.append(secret)
    return tuple(found)
