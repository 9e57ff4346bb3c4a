"""The configuration and what is learnt of deployments: an edit is live in both gateways, and what one skips, both skip."""

import asyncio
import itertools
import re
import secrets
import time
from collections import Counter

import httpx

from tests.fakes.upstream import Answer, FakeUpstream, SeenRequest, json_answer
from tests.many.conftest import Gateway, Two, ask
from tests.waiting import PATIENCE_S, assert_within

LEAD = (
    "from routing.models import Deployment, RouteTarget\n"
    "target = RouteTarget.objects.filter(route__alias__name={alias!r}).order_by('pk')[0]\n"
    "provider = target.deployment.provider\n"
    "target.deployment = Deployment.objects.create(provider=provider, upstream_model={model!r})\n"
    "target.save()"
)


async def lead(http: httpx.AsyncClient, two: Two, alias: str, upstream: FakeUpstream, at: int = 0) -> tuple[str, float]:  # fmt: skip
    """Have an alias lead to a new deployment first: its model, and the seconds until both gateways ask for that."""
    model = secrets.token_hex(6)
    await asyncio.to_thread(two[at].run, LEAD.format(alias=alias, model=model))
    began = time.monotonic()
    for gateway in two:
        while await asked_for(http, gateway, alias, upstream) != model:
            assert time.monotonic() - began < PATIENCE_S, "it never came to be so"
    return model, time.monotonic() - began


async def asked_for(
    http: httpx.AsyncClient, gateway: Gateway, alias: str, upstream: FakeUpstream
) -> str:
    """The model that a gateway asks a provider for, when it is asked for an alias."""
    assert await ask(http, gateway, alias) == 200
    return str(upstream.requests[-1].json["model"])


async def test_an_edit_is_live_in_both_within_a_second(two: Two, upstream: FakeUpstream):
    key = await two.make_team()
    editors = itertools.cycle((0, 1))
    async with two.client(key) as http:

        async def live_s() -> float:
            _model, took_s = await lead(http, two, "edited", upstream, at=next(editors))
            return took_s

        await assert_within(1, live_s)


async def test_a_deployment_that_one_gateway_skips_the_other_skips_too_without_asking_it(
    two: Two, upstream: FakeUpstream
):
    one, other = two
    key = await two.make_team()
    async with two.client(key) as http:
        broken, _took_s = await lead(http, two, "sheltered", upstream)
        before = [await skipped(http, gateway) for gateway in two]

        def breaks(request: SeenRequest) -> Answer | None:
            said = {"error": {"message": "overloaded", "code": 503}}
            return json_answer(said, status=503) if request.json["model"] == broken else None

        upstream.answer_with = breaks
        upstream.requests.clear()
        assert [await ask(http, one, "sheltered") for _ in range(2)] == [200, 200]
        assert asked(upstream) == {broken: 2, "gpt-5": 2}

        async with asyncio.timeout(PATIENCE_S):
            while [await skipped(http, gateway) for gateway in two] != [n + 1 for n in before]:  # noqa: ASYNC110  (they tell nobody)
                await asyncio.sleep(0.05)
        assert [await ask(http, gateway, "sheltered") for gateway in (other, one)] == [200, 200]
        assert asked(upstream) == {broken: 2, "gpt-5": 4}


def asked(upstream: FakeUpstream) -> Counter[str]:
    """How often each model was asked for."""
    return Counter(request.json["model"] for request in upstream.requests)


async def skipped(http: httpx.AsyncClient, gateway: Gateway) -> int:
    """How many deployments the gateway skips, as it tells of itself."""
    text = (await http.get(f"{gateway.url}/metrics")).text
    (count,) = re.findall(r"^llmgateway_deployments_in_cooldown(?:\{.*\})? (\S+)$", text, re.M)
    return int(float(count))
