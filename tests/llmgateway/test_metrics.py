"""GET /metrics: what Prometheus is told."""

import os
import re
import subprocess
import sys

from asgiref.sync import sync_to_async

from routing import snapshot
from tests.fakes.upstream import json_answer, stream_answer, text_stream
from tests.llmgateway.conftest import ALIAS
from tests.processes import ROOT
from tests.serving import Serving

ASK = {"model": ALIAS, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


async def figures(gateway: Serving) -> dict[str, float]:
    """Every sample by its name and labels, with all requests that are over."""
    gateway.runtime.teller.tell()
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
    assert grown(f'llmgateway_attempts_total{{error="",{path},status="succeeded"}}') == 2
    assert grown(f'llmgateway_attempts_total{{error="UpstreamBroken",{path},status="failed"}}') == 1
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


async def test_refused_requests_are_counted_by_error(gateway):
    before = await figures(gateway)
    await gateway.messages({**ASK, "messages": "none"})
    await gateway.chat(ASK, authorization="Bearer gw-wrong", x_api_key="")
    after = await figures(gateway)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    refused = "llmgateway_refused_requests_total"
    assert grown(f'{refused}{{dialect="anthropic_messages",error="RequestInvalid"}}') == 1
    assert grown(f'{refused}{{dialect="openai_chat",error="KeyRefused"}}') == 1
    assert after["llmgateway_requests_under_way"] == 0
    assert after["llmgateway_redis_away"] == 0


SHARING = """
import os, sys, time
import django
django.setup()
from llmgateway import metrics
from conversion.dialects import Dialect
from llmgateway.outcomes import Outcome
refused = Outcome("req_1", Dialect.OPENAI_CHAT, "POST", "/v1/x", 401, "KeyRefused", False, True, 0, 1)
metrics.observe_requests([refused])
metrics.open_streams.set(int(sys.argv[1]))
metrics.journal_bytes.set(int(sys.argv[1]))
metrics.under_way.set(int(sys.argv[1]))
metrics.snapshot_number.set(int(sys.argv[1]))
if sys.argv[2] == "tell":
    print(metrics.page().decode())
else:
    print("noted", flush=True)
    time.sleep(200)
"""


def test_workers_of_one_machine_are_told_together_and_dead_ones_only_for_what_they_counted(
    tmp_path,
):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
        "GATEWAY_DATA_DIR": str(tmp_path),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }

    def worker(number: int, *, tell: bool) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", SHARING, str(number), "tell" if tell else "stay"]
        return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    dead, alive = worker(8, tell=False), worker(3, tell=False)
    for other in (dead, alive):
        assert other.stdout.readline() == "noted\n"
    dead.kill()
    dead.communicate()
    told, _nothing = worker(4, tell=True).communicate(timeout=100)
    alive.kill()
    alive.communicate()

    refused = 'llmgateway_refused_requests_total{dialect="openai_chat",error="KeyRefused"} 3.0'
    assert refused in told
    assert (
        'llmgateway_requests_total{dialect="openai_chat",error="KeyRefused",outcome="refused"} 3.0'
        in told
    )
    assert 'llmgateway_request_duration_seconds_sum{endpoint="other",outcome="refused"} 3.0' in told
    assert "llmgateway_open_streams 7.0" in told
    assert "llmgateway_journal_bytes 7.0" in told
    assert "llmgateway_requests_under_way 7.0" in told  # 3 + 4
    assert "llmgateway_snapshot_number 3.0" in told
