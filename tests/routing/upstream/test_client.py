"""Pools: one for each provider and its settings, closed when nobody holds them."""

from dataclasses import replace

import pytest

from routing.pictures import ProviderPicture
from routing.upstream.attempt import send
from routing.upstream.client import Pools
from routing.upstream.errors import UpstreamTlsFailed
from routing.upstream.outgoing import Outgoing
from tests.factories.pictures import picture_provider, picture_target
from tests.fakes.upstream import FakeUpstream, stream_answer, text_stream


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def pools():
    made = Pools()
    yield made
    await made.close()


async def ask(pools: Pools, provider: ProviderPicture) -> bytes:
    """One whole answer."""
    reply = await send(
        pools,
        picture_target(provider),
        Outgoing(b"{}", provider.dialect),
        credential=provider.credentials[0],
    )
    try:
        return await reply.read_all()
    finally:
        await reply.close()


async def test_a_connection_is_used_again(pools, upstream):
    provider = picture_provider(upstream.url)

    for _ in range(5):
        assert b"Hello." in await ask(pools, provider)

    assert len(upstream.requests) == 5
    assert upstream.connections == 1


async def test_an_answer_that_was_left_half_read_costs_its_connection(pools, upstream):
    provider = picture_provider(upstream.url)
    upstream.answers(stream_answer(text_stream("a", "b", "c"), pause_s=0.05))
    reply = await send(
        pools,
        picture_target(provider),
        Outgoing(b"{}", provider.dialect, stream=True),
        credential=None,
    )
    await reply.read()
    await reply.close()
    await ask(pools, provider)

    assert upstream.connections == 2


async def test_an_answer_that_was_drained_does_not(pools, upstream):
    provider = picture_provider(upstream.url)
    upstream.answers(stream_answer(text_stream("a", "b", "c"), pause_s=0.02))
    reply = await send(
        pools,
        picture_target(provider),
        Outgoing(b"{}", provider.dialect, stream=True),
        credential=None,
    )
    await reply.read()
    assert not reply.is_at_end
    await reply.drain()
    assert reply.is_closed
    await ask(pools, provider)

    assert upstream.connections == 1


async def test_the_same_settings_share_a_pool_and_others_do_not(pools):
    provider = picture_provider("http://127.0.0.1:1")
    timeouts = replace(provider.timeouts, connect_s=1.0)
    others = [
        replace(provider, pk=2),
        replace(provider, base_url="http://127.0.0.1:2"),
        replace(provider, verify_tls=False),
        replace(provider, timeouts=timeouts),
    ]

    assert pools.of(provider) is pools.of(replace(provider, slug="renamed", credentials=()))
    assert len({id(pools.of(each)) for each in [provider, *others]}) == 5


async def test_a_pool_that_nobody_uses_is_closed_when_its_settings_change(pools, upstream):
    old = picture_provider(upstream.url)
    await ask(pools, old)
    pool = pools.of(old)
    new = replace(old, verify_tls=False)

    await pools.retire_except([new])

    assert pool.is_closed
    await ask(pools, new)
    assert upstream.connections == 2


async def test_a_pool_in_use_is_closed_when_its_last_user_ends(pools, upstream):
    old = picture_provider(upstream.url)
    upstream.answers(*[stream_answer(text_stream("a", "b"), pause_s=0.02)] * 2)
    replies = [
        await send(
            pools, picture_target(old), Outgoing(b"{}", old.dialect, stream=True), credential=None
        )
        for _ in range(2)
    ]
    pool = pools.of(old)

    await pools.retire_except([])

    assert not pool.is_closed
    assert b"[DONE]" in await replies[0].read_all()
    await replies[0].close()
    assert not pool.is_closed
    assert b"[DONE]" in await replies[1].read_all()
    await replies[1].close()
    await replies[1].close()  # once more has no effect
    assert pool.is_closed
    assert pool.users == 0


async def test_a_pool_whose_settings_stayed_is_kept(pools):
    provider = picture_provider("http://127.0.0.1:1")
    pool = pools.of(provider)

    await pools.retire_except([replace(provider, slug="renamed"), picture_provider(kind="demo")])

    assert pools.of(provider) is pool
    assert not pool.is_closed


async def test_retiring_looks_at_no_provider_that_was_not_called(pools):
    """A bundle that cannot be read is that provider's own trouble, and must not stop the watch."""
    broken = picture_provider("https://127.0.0.1:1", ca_bundle_pem="no certificate")

    await pools.retire_except([broken])

    with pytest.raises(UpstreamTlsFailed, match="openrouter: its CA bundle cannot be read"):
        pools.of(broken)


async def test_closing_closes_all(upstream):
    pools = Pools()
    provider = picture_provider(upstream.url)
    pool = pools.of(provider)
    await ask(pools, provider)
    await pools.close()

    assert pool.is_closed
