"""One try at a real server, and every way in which it can fail."""

import asyncio
import datetime
import gzip
import ipaddress
import random
import socket
import ssl
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.pictures import CredentialPicture, ProviderPicture
from routing.upstream.attempt import Reply, choose_credential, send
from routing.upstream.client import Pools
from routing.upstream.errors import (
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    UpstreamAnswerTooLarge,
    UpstreamDisconnected,
    UpstreamTlsFailed,
    UpstreamUnreachable,
)
from routing.upstream.outgoing import Outgoing
from routing.upstream.unpacking import PIECE_BYTES_MAX
from tests.factories.pictures import (
    SECRET,
    picture_credential,
    picture_provider,
    picture_target,
)
from tests.fakes.upstream import (
    NOTHING_AT_ALL,
    SILENCE,
    Answer,
    FakeUpstream,
    chunk,
    json_answer,
    stream_answer,
    text_stream,
)

BODY = b'{"model": "m"}'
EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def pools():
    made = Pools()
    yield made
    await made.close()


async def begin(pools: Pools, provider: ProviderPicture, *, stream: bool = False) -> Reply:
    credential = provider.credentials[0] if provider.credentials else None
    target = picture_target(provider)
    return await send(
        pools, target, Outgoing(BODY, provider.dialect, stream=stream), credential=credential
    )


async def whole(pools: Pools, provider: ProviderPicture) -> bytes:
    reply = await begin(pools, provider)
    try:
        return await reply.read_all()
    finally:
        await reply.close()


async def test_the_body_arrives_untouched_with_the_secret_and_nothing_else(pools, upstream):
    upstream.answers(json_answer({"fine": True}, headers={"x-generation-id": "gen-7"}))
    reply = await begin(pools, picture_provider(upstream.url))

    assert reply.status == 200
    assert reply.headers.get("X-Generation-Id") == "gen-7"
    assert await reply.read_all() == b'{"fine":true}'
    await reply.close()
    [seen] = upstream.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/api/v1/chat/completions", BODY)
    assert seen.headers == {
        "host": f"127.0.0.1:{upstream.port}",
        "authorization": f"Bearer {SECRET}",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "llmgateway",
        "x-title": "llmgateway",
        "content-length": str(len(BODY)),
    }


async def test_a_stream_comes_in_pieces_as_they_are_sent(pools, upstream):
    upstream.answers(Answer([b"one", b"two", b"three"], headers=EVENTS, pause_s=0.03))
    reply = await begin(pools, picture_provider(upstream.url), stream=True)

    pieces = [piece async for piece in pieces_of(reply)]

    assert pieces == [b"one", b"two", b"three"]
    assert reply.is_at_end
    assert await reply.read() == b""
    await reply.close()
    assert upstream.requests[0].headers["accept"] == "text/event-stream"


async def pieces_of(reply: Reply):
    while piece := await reply.read():
        yield piece


@pytest.mark.parametrize("status", [302, 307, 400, 429, 500])
async def test_every_status_is_an_answer_and_no_redirect_is_followed(pools, upstream, status):
    upstream.answers(json_answer({"error": {}}, status=status, headers={"location": upstream.url}))
    reply = await begin(pools, picture_provider(upstream.url))

    assert reply.status == status
    await reply.read_all()
    await reply.close()
    assert len(upstream.requests) == 1


async def test_no_cookie_is_kept(pools, upstream):
    upstream.answers(json_answer({}, headers={"set-cookie": "a=b; Path=/"}))
    provider = picture_provider(upstream.url)
    await whole(pools, provider)
    await whole(pools, provider)

    assert "cookie" not in upstream.requests[1].headers


async def test_an_answer_that_was_compressed_all_the_same_is_read(pools, upstream):
    packed = gzip.compress(b'{"fine":true}')
    upstream.answers(Answer([packed], headers={"content-encoding": "gzip"}))

    assert await whole(pools, picture_provider(upstream.url)) == b'{"fine":true}'


async def test_nobody_at_the_address(pools):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        provider = picture_provider(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
        with pytest.raises(UpstreamUnreachable, match="openrouter cannot be reached") as caught:
            await begin(pools, provider)

    assert caught.value.may_retry
    assert caught.value.may_fall_back
    assert pools.of(provider).users == 0


@pytest.mark.parametrize(
    "address",
    [
        "http://no-such-host.invalid/v1",
        "http://127.0.0.1:99999/v1",
        "http://[::1/v1",
        "http:///v1",
    ],
)
async def test_an_address_that_leads_nowhere(pools, address):
    with pytest.raises(UpstreamUnreachable, match="provider openrouter") as caught:
        await begin(pools, picture_provider(address, connect_s=2.0, first_byte_s=2.0))

    assert SECRET not in caught.value.message


async def test_a_server_that_accepts_no_connection_in_time(pools):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        # A queue without room leaves further connections without an answer.
        for _ in range(4):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(full.getsockname())
            waiting.append(other)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        began = time.monotonic()
        with pytest.raises(ConnectTimeout, match=r"connect_timeout_s is 0\.1 s"):
            await begin(pools, picture_provider(url, connect_s=0.1))
        assert time.monotonic() - began < 30
        for other in waiting:
            other.close()


async def test_no_first_byte_in_time(pools, upstream):
    upstream.answers(SILENCE)
    provider = picture_provider(upstream.url, first_byte_s=0.1)

    with pytest.raises(FirstByteTimeout, match=r"first_byte_timeout_s is 0\.1 s"):
        await begin(pools, provider)

    assert pools.of(provider).users == 0
    assert await upstream.requests[0].left() < 30


async def test_headers_alone_are_no_first_byte(pools, upstream):
    upstream.answers(Answer(headers=EVENTS, ending="stall"))
    reply = await begin(pools, picture_provider(upstream.url, first_byte_s=0.1), stream=True)

    with pytest.raises(FirstByteTimeout):
        await reply.read()
    await reply.close()


async def test_silence_in_the_middle(pools, upstream):
    upstream.answers(Answer([b"one"], headers=EVENTS, ending="stall"))
    reply = await begin(pools, picture_provider(upstream.url, idle_s=0.1), stream=True)

    assert await reply.read() == b"one"
    with pytest.raises(IdleTimeout, match=r"idle_timeout_s is 0\.1 s"):
        await reply.read()
    await reply.close()


async def test_an_answer_without_end(pools, upstream):
    upstream.answers(stream_answer([chunk({"content": "x"})] * 1000, pause_s=0.02))
    reply = await begin(pools, picture_provider(upstream.url, total_s=1.5), stream=True)

    with pytest.raises(TotalTimeout, match=r"total_timeout_s is 1\.5 s"):
        await reply.read_all()
    await reply.close()


async def test_a_connection_that_breaks_before_the_answer(pools, upstream):
    upstream.answers(NOTHING_AT_ALL)
    provider = picture_provider(upstream.url)

    with pytest.raises(UpstreamDisconnected, match="before it answered") as caught:
        await begin(pools, provider)
    assert caught.value.may_retry
    assert pools.of(provider).users == 0


@pytest.mark.parametrize("ending", ["cut", "reset"])
async def test_a_connection_that_breaks_in_the_middle(pools, upstream, ending):
    upstream.answers(Answer([b"one"], headers=EVENTS, ending=ending))
    reply = await begin(pools, picture_provider(upstream.url), stream=True)

    with pytest.raises(UpstreamDisconnected, match="in the middle of its answer"):
        await reply.read_all()
    await reply.close()


@pytest.mark.parametrize(
    ("scheme", "kind"), [("http", UpstreamDisconnected), ("https", UpstreamTlsFailed)]
)
async def test_bytes_that_are_no_http(pools, scheme, kind):
    async def mumble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(mumble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(kind):
            await begin(pools, picture_provider(f"{scheme}://127.0.0.1:{port}/v1"))


async def test_an_answer_that_is_too_large_is_not_held(pools, upstream):
    upstream.answers(Answer([b"x" * 600] * 3, headers=EVENTS))
    reply = await begin(pools, picture_provider(upstream.url))

    with pytest.raises(UpstreamAnswerTooLarge, match="larger than 1000 bytes") as caught:
        await reply.read_all(bytes_max=1000)
    assert not caught.value.may_retry
    await reply.close()


async def test_an_answer_of_just_the_largest_size_is_held(pools, upstream):
    upstream.answers(Answer([b"x" * 500] * 2, headers=EVENTS))
    reply = await begin(pools, picture_provider(upstream.url))

    assert len(await reply.read_all(bytes_max=1000)) == 1000
    await reply.close()


def packed(pieces: int) -> Answer:
    """An answer of a few bytes that unpacks to so many pieces, all of which are there at once."""
    headers = {**EVENTS, "content-encoding": "gzip"}
    return Answer([gzip.compress(bytes(pieces * PIECE_BYTES_MAX))], headers=headers)


async def test_others_are_let_in_while_what_was_packed_is_read(pools, upstream):
    upstream.answers(packed(pieces=100))
    reply = await begin(pools, picture_provider(upstream.url))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.ensure_future(others())
    await reply.read_all()
    beside.cancel()
    await reply.close()

    assert turns > 50


async def test_the_clock_of_the_whole_runs_while_what_was_packed_is_read(pools, upstream):
    upstream.answers(packed(pieces=200))

    def convert(_piece: bytes) -> None:
        time.sleep(0.01)

    reply = await begin(pools, picture_provider(upstream.url, total_s=0.3))
    reply.on_piece = convert
    with pytest.raises(TotalTimeout):
        await reply.read_all()
    await reply.close()


async def test_draining_gives_up_on_an_answer_that_does_not_end(pools, upstream):
    upstream.answers(Answer([b"one"], headers=EVENTS, ending="stall"))
    provider = picture_provider(upstream.url, idle_s=0.1)
    reply = await begin(pools, provider, stream=True)
    await reply.read()

    await reply.drain()

    assert reply.is_closed
    assert pools.of(provider).users == 0


async def test_draining_waits_no_longer_than_a_moment(pools, upstream):
    upstream.answers(stream_answer([chunk({"content": "x"})] * 2000, pause_s=0.01))
    reply = await begin(pools, picture_provider(upstream.url), stream=True)
    began = time.monotonic()

    await reply.drain()

    assert reply.is_closed
    assert time.monotonic() - began < 10  # and not the 20 s that the answer takes


async def test_cancelling_before_the_answer_closes_the_upstream_connection(pools, upstream):
    upstream.answers(SILENCE)
    provider = picture_provider(upstream.url)
    task = asyncio.ensure_future(begin(pools, provider))
    while not upstream.requests:  # noqa: ASYNC110  (a list tells nobody that it has grown)
        await asyncio.sleep(0.005)
    cancelled_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await left(upstream, since=cancelled_at)
    assert pools.of(provider).users == 0


async def test_cancelling_in_the_middle_closes_the_upstream_connection(pools, upstream):
    upstream.answers(stream_answer([chunk({"content": "x"})] * 1000, pause_s=0.01))
    reply = await begin(pools, picture_provider(upstream.url), stream=True)
    task = asyncio.ensure_future(reply.read_all())
    await asyncio.sleep(0.1)
    cancelled_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await reply.close()

    await left(upstream, since=cancelled_at)


async def left(upstream: FakeUpstream, *, since: float) -> None:
    """The upstream sees its client leave at once, or nearly so on a busy machine."""
    while upstream.requests[0].left_after_s is None:
        assert time.monotonic() - since < 30
        await asyncio.sleep(0.01)


# TLS


class Certificates(NamedTuple):
    """A made-up authority, and a server's context with a certificate that it signed for a name."""

    authority_pem: str
    server: ssl.SSLContext


def certify(folder: Path, name: str) -> Certificates:
    moment = datetime.datetime.now(datetime.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def builder(key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - datetime.timedelta(hours=1))
            .not_valid_after(moment + datetime.timedelta(hours=1))
        )

    authority = (
        builder(authority_key, authority_name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    known_as: x509.GeneralName = (
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    )
    certificate = (
        builder(server_key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([known_as]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(pem)
        + server_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Certificates(authority.public_bytes(pem).decode(), context)


async def test_a_certificate_of_an_unknown_authority_is_not_accepted(pools, tmp_path):
    async with FakeUpstream(tls=certify(tmp_path, "127.0.0.1").server) as upstream:
        with pytest.raises(UpstreamTlsFailed, match="its TLS certificate") as caught:
            await begin(pools, picture_provider(upstream.url))

        assert not caught.value.may_retry
        assert caught.value.may_fall_back
        assert upstream.requests == []


async def test_an_authority_in_the_bundle_is_accepted(pools, tmp_path):
    certificates = certify(tmp_path, "127.0.0.1")
    async with FakeUpstream(tls=certificates.server) as upstream:
        provider = picture_provider(upstream.url, ca_bundle_pem=certificates.authority_pem)

        assert b"Hello." in await whole(pools, provider)


async def test_a_certificate_for_another_name_is_not_accepted(pools, tmp_path):
    certificates = certify(tmp_path, "elsewhere.example")
    async with FakeUpstream(tls=certificates.server) as upstream:
        provider = picture_provider(upstream.url, ca_bundle_pem=certificates.authority_pem)
        with pytest.raises(UpstreamTlsFailed):
            await begin(pools, provider)


async def test_without_verification_any_certificate_is_accepted(pools, tmp_path):
    async with FakeUpstream(tls=certify(tmp_path, "elsewhere.example").server) as upstream:
        assert b"Hello." in await whole(pools, picture_provider(upstream.url, verify_tls=False))


async def test_a_server_that_says_nothing_to_a_handshake(pools, upstream):
    url = upstream.url.replace("http://", "https://")
    with pytest.raises(FirstByteTimeout):
        await begin(pools, picture_provider(url, first_byte_s=0.1))


async def test_a_bundle_that_cannot_be_read_is_told_and_sends_nothing(pools, upstream):
    url = upstream.url.replace("http://", "https://")
    with pytest.raises(UpstreamTlsFailed, match="CA bundle cannot be read"):
        await begin(pools, picture_provider(url, ca_bundle_pem="no certificate"))


# In the process


async def test_a_kind_that_calls_nobody_answers_in_the_same_way(pools):
    provider = picture_provider(kind="demo", credentials=())
    body = b'{"model": "demo-1", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
    reply = await send(
        pools,
        picture_target(provider),
        Outgoing(body, provider.dialect, stream=True),
        credential=None,
    )

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream"
    assert not reply.is_at_end
    assert (await reply.read()).startswith(b"data: ")
    await reply.close()
    assert await reply.read() == b""


async def test_a_refusal_of_the_demo_carries_its_headers(pools):
    provider = picture_provider(kind="demo", credentials=())
    body = b'{"messages": [{"role": "user", "content": "/error 429"}]}'
    reply = await send(
        pools,
        picture_target(provider),
        Outgoing(body, provider.dialect, stream=False),
        credential=None,
    )

    assert reply.status == 429
    assert reply.headers["retry-after"] == "1"
    assert b"fail with 429" in await reply.read_all()
    await reply.close()


# Credentials and headers


def test_one_credential_is_used_and_none_is_none():
    only = picture_credential()
    provider = picture_provider(credentials=(only,))
    dice = random.Random(1)

    assert choose_credential(picture_target(provider), dice=dice) is only
    assert choose_credential(picture_target(provider, credentials=()), dice=dice) is None


def test_credentials_are_drawn_by_their_weight():
    heavy = picture_credential("heavy", weight=3)
    light = picture_credential("light", weight=1)
    spare = picture_credential("spare", weight=0)
    target = picture_target(picture_provider(credentials=(spare, light, heavy)))
    dice = random.Random(1)

    drawn = Counter(choose_credential(target, dice=dice).label for _ in range(4000))

    assert set(drawn) == {"heavy", "light"}
    assert 2.7 < drawn["heavy"] / drawn["light"] < 3.3


def test_where_all_weigh_nothing_the_first_is_used():
    first, second = (picture_credential(label, weight=0) for label in ("first", "second"))
    target = picture_target(picture_provider(credentials=(first, second)))

    assert choose_credential(target, dice=random.Random(1)) is first


def test_where_all_rest_the_one_that_rests_least_is_used_whatever_it_weighs():
    main, spare = picture_credential("main"), picture_credential("spare", weight=0)
    target = picture_target(picture_provider(credentials=(main, spare)))

    def chosen(main_s: float, spare_s: float) -> CredentialPicture | None:
        left_s = {main.pk: main_s, spare.pk: spare_s}
        return choose_credential(target, dice=random.Random(1), rest_left_s=left_s.__getitem__)

    assert chosen(0, 0) is main
    assert chosen(0, 30) is main
    assert chosen(300, 0) is spare
    assert chosen(300, 30) is spare
    assert chosen(5, 30) is main


async def test_plain_streams_of_words_come_through_whole(pools, upstream):
    upstream.answers(stream_answer(text_stream("one ", "two ", "three")))
    body = await whole(pools, picture_provider(upstream.url))

    assert body.count(b"data: ") == 7  # role, three words, the end, the usage, the end mark
