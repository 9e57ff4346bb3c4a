"""No connection is opened to an address that may not be called, whatever name led there."""

import asyncio
import socket

import httpx
import pytest

from conversion.addresses import AddressRules, read_networks
from routing.upstream import discovery, guarded, lookups, webhooks
from routing.upstream.attempt import send
from routing.upstream.client import Pools
from routing.upstream.errors import AddressRefused, UpstreamUnreachable
from routing.upstream.outgoing import Outgoing
from tests.factories.pictures import picture_credential, picture_provider, picture_target
from tests.fakes.upstream import FakeUpstream, json_answer
from tests.waiting import PATIENCE_S

NO_LOOPBACK = AddressRules(denied=read_networks(["loopback"]))


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
def names(monkeypatch):
    """What names lead to, as the system's resolver would tell; everything else as ever."""
    places: dict[str, list[str]] = {}
    ask = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if name not in places:
            return ask(host, port, *args, **kwargs)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, int(port or 0)))
            for number in places[name]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return places


async def ask(provider) -> int:
    pools = Pools()
    target = picture_target(provider, upstream_model="m")
    outgoing = Outgoing(b"{}", provider.dialect)
    try:
        reply = await send(pools, target, outgoing, credential=None)
        await reply.close()
        return reply.status
    finally:
        await pools.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/v1",
        "http://[fd00:ec2::254]/v1",
        "http://[::ffff:169.254.169.254]/v1",
    ],
)
async def test_a_request_to_metadata_is_refused_before_a_connection(url):
    with pytest.raises(AddressRefused, match="GATEWAY_OUTBOUND_ALLOW") as caught:
        await asyncio.wait_for(ask(picture_provider(url)), PATIENCE_S)
    assert not caught.value.may_retry
    assert caught.value.may_fall_back


async def test_a_name_that_leads_to_metadata_is_refused(names):
    names["innocent.example"] = ["169.254.169.254"]
    provider = picture_provider("http://innocent.example/v1", credentials=(picture_credential(),))
    with pytest.raises(AddressRefused):
        await asyncio.wait_for(ask(provider), PATIENCE_S)
    assert "not called" in (await lookups.check(provider)).problem
    with pytest.raises(webhooks.WebhookFailed, match="is not called"):
        await webhooks.post_json("http://innocent.example/hook", {})
    assert await discovery.look_at("http://innocent.example", 1.0) is None


async def test_a_name_that_leads_elsewhere_the_second_time_is_refused_then(names, upstream):
    names["rebound.example"] = ["127.0.0.1"]
    provider = picture_provider(f"http://rebound.example:{upstream.port}/v1")
    upstream.answers(json_answer({}), json_answer({"data": {}}))
    assert await ask(provider) == 200
    names["rebound.example"] = ["169.254.169.254"]
    with pytest.raises(AddressRefused):
        await asyncio.wait_for(ask(provider), PATIENCE_S)


async def test_an_address_that_may_be_called_is_used_where_a_name_has_both(names, upstream):
    names["both.example"] = ["169.254.169.254", "127.0.0.1"]
    provider = picture_provider(f"http://both.example:{upstream.port}/v1")
    upstream.answers(json_answer({}), json_answer({"ok": True}))
    assert await ask(provider) == 200
    async with guarded.guarded_client(timeout=PATIENCE_S) as client:
        answer = await client.get(f"http://both.example:{upstream.port}/x")
    assert answer.json() == {"ok": True}


@pytest.mark.parametrize("host", ["2852039166", "0xA9FEA9FE", "0251.0376.0251.0376"])
async def test_unusual_numbers_lead_nowhere_at_connect_time_either(host):
    with pytest.raises((AddressRefused, UpstreamUnreachable)):
        await asyncio.wait_for(ask(picture_provider(f"http://{host}/v1")), PATIENCE_S)
    async with guarded.guarded_client(timeout=PATIENCE_S) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.get(f"http://{host}/")


async def test_networks_that_the_operator_denies_are_refused(settings, upstream):
    settings.OUTBOUND = NO_LOOPBACK
    provider = picture_provider(upstream.url)
    with pytest.raises(AddressRefused, match="GATEWAY_OUTBOUND_DENY"):
        await ask(provider)
    with pytest.raises(AddressRefused):
        await lookups.list_models(provider)
    assert upstream.connections == 0


async def test_a_redirect_is_followed_nowhere(upstream):
    there = json_answer({}, status=302, headers={"location": "http://169.254.169.254/"})
    upstream.answers(there, there)
    assert await ask(picture_provider(upstream.url)) == 302
    with pytest.raises(webhooks.WebhookFailed, match="status 302"):
        await webhooks.post_json(upstream.url, {})


async def test_a_name_without_an_address_is_unreachable_as_ever():
    async with guarded.guarded_client(timeout=PATIENCE_S) as client:
        with pytest.raises(httpx.ConnectError, match="leads nowhere"):
            await client.get("http://nobody.invalid/")


async def test_a_slow_resolver_is_waited_for_no_longer_than_a_connection(monkeypatch):
    async def never(*_args, **_kwargs):
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never, raising=False)
    async with guarded.guarded_client(timeout=0.05) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("http://slow.example/")


async def test_no_socket_file_is_called():
    backend = guarded.GuardedBackend(guarded.httpcore.AnyIOBackend())
    with pytest.raises(guarded.httpcore.ConnectError):
        await backend.connect_unix_socket("/run/x.sock")
    await backend.sleep(0)
