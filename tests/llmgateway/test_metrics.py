"""GET /metrics: what Prometheus is told."""

import re

from asgiref.sync import sync_to_async

from routing import snapshot
from tests.fakes.upstream import json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.serving import Serving

ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


async def figures(gateway: Serving) -> dict[str, float]:
    """Every sample by its name and labels."""
    answer = await gateway.http.get("/metrics", headers={"x-api-key": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    samples = re.findall(r"^([a-z][^ ]*) ([^ \n]+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in samples}


async def put_in_force(gateway: Serving) -> None:
    await sync_to_async(snapshot.bump)()
    await gateway.runtime.refresh()


async def test_attempts_tokens_and_cost_are_counted_by_path(gateway, upstream):
    before = await figures(gateway)
    upstream.answers(json_answer({"error": {"message": "no"}}, status=500))
    await gateway.messages(ASK)
    await gateway.messages(ASK)
    upstream.answers(stream_answer(text_stream("Hi")))
    await gateway.messages({**ASK, "stream": True})
    await gateway.records(3)
    after = await figures(gateway)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    path = 'kind="openrouter",path="direct",provider="openrouter"'
    assert grown(f'llmgateway_attempts_total{{{path},status="succeeded"}}') == 2
    assert grown(f'llmgateway_attempts_total{{{path},status="failed"}}') == 1
    assert grown('llmgateway_tokens_total{provider="openrouter",type="prompt"}') == 40
    assert (
        round(grown('llmgateway_cost_usd_total{path="direct",provider="openrouter"}'), 9) == 0.00025
    )
    assert grown(f"llmgateway_attempt_duration_seconds_count{{{path}}}") == 3
    assert grown(f"llmgateway_ttft_seconds_count{{{path}}}") == 1
    assert after["llmgateway_snapshot_number"] > 0
    assert after["llmgateway_deployments_in_cooldown"] == 0


async def test_fallbacks_are_counted_by_what_went_before(gateway, upstream, provider):
    before = await figures(gateway)
    await type(provider).objects.aupdate(retries_max=1)
    await put_in_force(gateway)
    upstream.answers(json_answer({"error": {"message": "no"}}, status=503))
    await gateway.messages(ASK)
    await gateway.records(2)
    name = (
        'llmgateway_fallbacks_total{after_error="UpstreamOverloaded",kind="openrouter",'
        'path="direct",provider="openrouter"}'
    )

    assert (await figures(gateway))[name] - before.get(name, 0) == 1


async def test_turns_are_told_for_providers_with_a_limit(gateway, provider):
    await type(provider).objects.aupdate(concurrent_max=3)
    await put_in_force(gateway)
    await gateway.messages(ASK)

    told = await figures(gateway)
    assert told['llmgateway_provider_requests_running{provider="openrouter"}'] == 0
    assert told['llmgateway_provider_requests_waiting{provider="openrouter"}'] == 0
