"""One connection against a server that sends whatever bytes the test says."""

import asyncio
import gc
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from routing.upstream import client, connection
from routing.upstream.client import Pool
from routing.upstream.connection import BrokenOff, Connection, HeaderBroken, write_head
from routing.upstream.unpacking import PIECE_BYTES_MAX, Unpacker

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(talk: Talk, *, connect_s: float = 5.0) -> AsyncIterator[Pool]:
    """A pool of connections to a server that talks so on each."""
    talks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", tls=None, connect_s=connect_s
    )
    try:
        yield pool
    finally:
        pool.close()
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def heard(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def saying(*pieces: bytes, then_close: bool = False) -> Talk:
    """Answers each request with these pieces, a moment apart."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await heard(reader)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            if then_close:
                return

    return talk


async def ask(pool: Pool, body: bytes = b"{}") -> Connection:
    """A connection whose answer has begun."""
    made = pool.take_idle() or await pool.open()
    await made.ask(write_head("/v1/x?a=b", "host", [("A", "b")]), body)
    return made


async def read(made: Connection) -> bytes:
    """The next piece, as a reply reads it."""
    while (piece := made.take()) is None:
        await made.news()
    return piece


async def rest_of(made: Connection) -> bytes:
    pieces = []
    while piece := await read(made):
        pieces.append(piece)
    return b"".join(pieces)


async def whole(pool: Pool) -> bytes:
    made = await ask(pool)
    try:
        return await rest_of(made)
    finally:
        pool.give_back(made)


async def lost(made: Connection) -> None:
    """The connection is closed, within a generous while."""
    async with asyncio.timeout(60):
        while not made.broken:  # noqa: ASYNC110  (it tells nobody but its pool)
            await asyncio.sleep(0.001)


def test_a_head_is_what_http_says():
    head = write_head("/v1/x?a=b", "[::1]:8080", [("X-A", "é")])

    assert head == (b"POST /v1/x?a=b HTTP/1.1\r\nHost: [::1]:8080\r\nX-A: \xc3\xa9\r\n")


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "a\rb", "a\0b"])
def test_a_header_that_would_end_early_is_refused(value):
    with pytest.raises(HeaderBroken, match="line break or a null byte"):
        write_head("/", "host", [("X-A", value)])
    with pytest.raises(HeaderBroken):
        write_head("/", "host", [(value, "a")])


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://a.example/v1", "a.example", 80),
        ("https://a.example/v1", "a.example", 443),
        ("https://a.example:8443", "a.example", 8443),
        ("http://[::1]:80/v1", "::1", 80),
        ("http://[::1]:81/v1", "::1", 81),
    ],
)
def test_where_a_pool_leads(url, host, port):
    pool = Pool(url, tls=None, connect_s=1)

    assert (pool.host, pool.port) == (host, port)


async def test_answers_follow_each_other_on_one_connection():
    async with a_server(saying(FINE)) as pool:
        first = await ask(pool)
        assert (first.status, dict(first.headers)) == (200, {"Content-Length": "4"})
        assert await rest_of(first) == b"fine"
        assert first.is_at_end
        pool.give_back(first)
        assert await ask(pool) is first


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_an_answer_may_be_cut_anywhere(size):
    told = CHUNKED + b"3\r\none\r\n5;x=y\r\n\xe2\x80\xa8\r\n\r\n0\r\nX-T: z\r\n\r\n"
    pieces = [told[at : at + size] for at in range(0, len(told), size)]
    async with a_server(saying(*pieces)) as pool:
        made = await ask(pool)
        assert made.headers.getall("x-a") == ["1", "2"]
        assert await rest_of(made) == b"one\xe2\x80\xa8\r\n"
        assert "X-T" not in made.headers  # a trailer is no header
        pool.give_back(made)
        assert await whole(pool) == b"one\xe2\x80\xa8\r\n"


async def test_what_comes_before_the_answer_is_passed_over():
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with a_server(saying(early, FINE)) as pool:
        made = await ask(pool)
        assert made.status == 200
        assert "Link" not in made.headers
        assert await rest_of(made) == b"fine"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_without_a_length_ends_with_the_connection(version):
    told = b"HTTP/" + version + b" 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it"
    async with a_server(saying(told, then_close=True)) as pool:
        made = await ask(pool)
        assert await rest_of(made) == b"all of it"
        assert not made.is_reusable


@pytest.mark.parametrize(
    "told", [CHUNKED + b"3\r\none\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none"]
)
async def test_a_body_with_a_length_does_not(told):
    async with a_server(saying(told, then_close=True)) as pool:
        made = await ask(pool)
        assert await read(made) == b"one"
        with pytest.raises(BrokenOff, match="closed the connection"):
            await read(made)


async def test_a_server_that_says_so_is_not_used_again():
    told = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine"
    async with a_server(saying(told)) as pool:
        first = await ask(pool)
        assert await rest_of(first) == b"fine"
        pool.give_back(first)
        assert await ask(pool) is not first


@pytest.mark.parametrize(
    "told",
    [
        b"<html>what is this</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nsomething",
        CHUNKED + b"zz\r\none\r\n",
    ],
)
async def test_what_is_no_http_is_told_as_that(told):
    async with a_server(saying(told)) as pool:
        with pytest.raises(BrokenOff, match="sent what is no HTTP"):
            await rest_of(await ask(pool))


async def test_a_head_without_end_is_not_read_for_ever():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while True:
            writer.write(b"a" * 65536)
            await writer.drain()

    async with a_server(talk) as pool:
        with pytest.raises(BrokenOff, match=f"a head of more than {connection.HEAD_BYTES_MAX}"):
            await ask(pool)


async def test_bytes_that_nobody_asked_for_cost_the_connection():
    async with a_server(saying(FINE)) as pool:
        made = await ask(pool)
        await rest_of(made)
        pool.give_back(made)
        made.data_received(FINE)
        assert made.broken == "sent what was not asked for"
        assert await whole(pool) == b"fine"


async def test_more_than_the_answer_is_no_next_answer():
    async with a_server(saying(FINE + FINE)) as pool:
        made = await ask(pool)
        assert (made.status, await rest_of(made)) == (200, b"fine")
        assert made.broken == "sent what was not asked for"
        pool.give_back(made)
        assert (await ask(pool)) is not made


async def test_a_connection_that_was_closed_while_it_rested_is_not_taken():
    async with a_server(saying(FINE, then_close=True)) as pool:
        made = await ask(pool)
        assert await rest_of(made) == b"fine"
        pool.give_back(made)
        await lost(made)
        other = await ask(pool)
        assert other is not made
        with pytest.raises(BrokenOff, match="closed the connection"):
            await made.ask(b"", b"")


async def test_a_connection_that_is_about_to_be_told_of_its_end_is_not_taken():
    async with a_server(saying(FINE)) as pool:
        made = await ask(pool)
        assert await rest_of(made) == b"fine"
        pool.give_back(made)
        made._transport.close()  # as the loop does it when the server has closed
        assert not made.broken
        assert pool.take_idle() is None


async def test_connections_are_closed_that_nobody_used_for_a_while(monkeypatch):
    monkeypatch.setattr(client, "KEEPALIVE_S", 0.05)
    async with a_server(saying(FINE)) as pool:
        made = [await ask(pool) for _ in range(3)]
        for each in made:
            await rest_of(each)
            pool.give_back(each)
            await asyncio.sleep(0.01)
        for each in made:
            await lost(each)
        assert await whole(pool) == b"fine"


async def test_a_name_is_looked_up_once_a_minute(monkeypatch):
    asked = []
    look_up = asyncio.get_running_loop().getaddrinfo

    async def counted(*words, **more):
        if "flags" in more:  # the loops ask of numbers, too
            asked.append(words)
        return await look_up(*words, **more)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", counted, raising=False)
    async with a_server(saying(FINE)) as pool:
        held = [await ask(pool) for _ in range(3)]
        assert len(asked) == 1
        pool._addresses_until = 0.0
        held.append(await ask(pool))
        assert len(asked) == 2


async def test_a_host_that_has_moved_is_found_at_the_next_try(monkeypatch):
    loop = asyncio.get_running_loop()
    look_up, leads_to = loop.getaddrinfo, ["127.0.0.1", "127.0.0.2"]  # nobody listens at the latter

    async def moving(host, *words, **more):
        return await look_up(leads_to.pop() if "flags" in more else host, *words, **more)

    monkeypatch.setattr(loop, "getaddrinfo", moving, raising=False)
    async with a_server(saying(FINE)) as pool:
        with pytest.raises(ConnectionRefusedError):
            await ask(pool)
        assert await whole(pool) == b"fine"


async def test_a_name_is_looked_up_by_one_for_all_who_wait(monkeypatch):
    asked = []
    loop = asyncio.get_running_loop()
    look_up, goes_on = loop.getaddrinfo, asyncio.Event()

    async def slow(*words, **more):
        if "flags" in more:
            asked.append(words)
            await goes_on.wait()
        return await look_up(*words, **more)

    monkeypatch.setattr(loop, "getaddrinfo", slow, raising=False)
    async with a_server(saying(FINE)) as pool:
        asking = [asyncio.ensure_future(whole(pool)) for _ in range(20)]
        await asyncio.sleep(0.01)
        asking[0].cancel()  # whose look it was: the others still want it
        await asyncio.sleep(0.01)
        goes_on.set()
        answers = await asyncio.gather(*asking, return_exceptions=True)

    assert answers[1:] == [b"fine"] * 19
    assert len(asked) == 1


async def test_a_look_that_fails_is_told_to_all_and_begun_anew(monkeypatch):
    loop = asyncio.get_running_loop()
    look_up, failures = loop.getaddrinfo, [OSError("no such name")]

    async def failing_once(*words, **more):
        await asyncio.sleep(0)
        if "flags" in more and failures:
            raise failures.pop()
        return await look_up(*words, **more)

    monkeypatch.setattr(loop, "getaddrinfo", failing_once, raising=False)
    async with a_server(saying(FINE)) as pool:
        told = await asyncio.gather(*(whole(pool) for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in told] == ["no such name"] * 3
        assert await whole(pool) == b"fine"


async def test_a_look_that_fails_when_nobody_waits_any_more_is_no_error_of_the_gateways(
    monkeypatch,
):
    loop, goes_on, told = asyncio.get_running_loop(), asyncio.Event(), []

    async def failing_late(*_words, **_more):
        await goes_on.wait()
        raise OSError("no such name")

    monkeypatch.setattr(loop, "getaddrinfo", failing_late, raising=False)
    loop.set_exception_handler(lambda _loop, context: told.append(context["message"]))
    async with a_server(saying(FINE), connect_s=0.01) as pool:
        with pytest.raises(TimeoutError):
            await ask(pool)
        looking, pool._looking = pool._looking, None
        goes_on.set()
        await asyncio.wait([looking])
        del looking
        gc.collect()

    assert told == []


async def test_closing_a_pool_ends_its_look(monkeypatch):
    async def never(*_words, **_more):
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never, raising=False)
    async with a_server(saying(FINE), connect_s=0.01) as pool:
        with pytest.raises(TimeoutError):
            await ask(pool)
        looking = pool._looking
        pool.close()
        await asyncio.wait([looking])

    assert looking.cancelled()


async def test_a_name_that_is_none_cannot_be_reached():
    pool = Pool(f"http://{'x' * 64}:80/v1", tls=None, connect_s=5.0)
    with pytest.raises(OSError, match="name is none"):
        await pool.open()


async def test_a_large_body_arrives_whole():
    seen = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await heard(reader))
        writer.write(FINE)
        await writer.drain()

    body = bytes(range(256)) * 40_000  # 10 MB
    async with a_server(talk) as pool:
        made = await ask(pool, body)
        assert await rest_of(made) == b"fine"
    assert seen[0].endswith(body)


@pytest.mark.parametrize("reads_on", [True, False])
async def test_an_answer_before_the_end_of_a_large_body_cuts_it_short(reads_on):
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)  # in which the sockets have filled
        writer.write(refusal)
        await writer.drain()
        await (reader.read() if reads_on else asyncio.Event().wait())

    async with a_server(talk) as pool:
        async with asyncio.timeout(30):
            made = await ask(pool, bytes(30_000_000))
        assert (made.status, await rest_of(made)) == (413, b"no")
        assert not made.is_reusable


async def test_a_server_that_leaves_while_a_large_body_is_sent():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with a_server(talk) as pool:
        with pytest.raises(BrokenOff, match="closed the connection"):
            await ask(pool, bytes(30_000_000))


async def test_a_slow_reader_slows_the_upstream_down():
    sent = []
    part = b"10000\r\n" + bytes(0x10000) + b"\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(CHUNKED)
        for _ in range(1000):  # 64 MB
            writer.write(part)
            await writer.drain()
            sent.append(1)
        writer.write(b"0\r\n\r\n")

    async with a_server(talk) as pool:
        made = await ask(pool)
        before = -1
        async with asyncio.timeout(60):
            while before != len(sent):  # until nothing more is taken
                before = len(sent)
                await asyncio.sleep(0.2)
        assert before < 900
        assert len(made.take() or b"") < 8 * connection.BUFFER_BYTES_MAX
        assert len(await rest_of(made)) > 50_000_000
        assert made.is_reusable


async def test_closing_in_the_middle_is_seen_by_the_upstream_at_once():
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(CHUNKED + b"3\r\none\r\n")
        try:
            await reader.read()
        finally:
            left.set()

    async with a_server(talk) as pool:
        made = await ask(pool)
        assert await read(made) == b"one"
        pool.give_back(made)
        await asyncio.wait_for(left.wait(), 60)
        assert made.broken == "was closed"


async def test_a_wait_for_a_connection_that_is_given_up_leaves_none_open():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        pool = Pool(f"http://127.0.0.1:{full.getsockname()[1]}", tls=None, connect_s=0.05)
        with pytest.raises(TimeoutError):
            await pool.open()
        assert not pool._open
        for each in held:
            each.close()


# Packed bodies


def packed_answer(coding: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding
    return head + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def deflated(body: bytes, *, wbits: int) -> bytes:
    made = zlib.compressobj(wbits=wbits)
    return made.compress(body) + made.flush()


WORDS = b"words and more words " * 1000


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        (b"gzip", gzip.compress(WORDS)),
        (b"GZip", gzip.compress(WORDS)),
        (b"gzip", gzip.compress(WORDS[:99]) + gzip.compress(WORDS[99:])),
        (b"deflate", deflated(WORDS, wbits=zlib.MAX_WBITS)),
        (b"deflate", deflated(WORDS, wbits=-zlib.MAX_WBITS)),
        (b"identity", WORDS),
    ],
    ids=["gzip", "capitals", "two members", "deflate", "raw deflate", "identity"],
)
async def test_a_packed_body_is_unpacked(coding, packed):
    async with a_server(saying(packed_answer(coding, packed))) as pool:
        assert await whole(pool) == WORDS
        assert await whole(pool) == WORDS


@pytest.mark.parametrize(
    ("coding", "packed", "why"),
    [
        (b"br", b"something", "is not known"),
        (b"gzip", b"something", "no such packing"),
        (b"gzip", gzip.compress(WORDS)[:-9], "cut off"),
        (b"deflate", b"\xff\xff\xff\xff", "no such packing"),
    ],
    ids=["unknown", "no gzip", "cut off", "no deflate"],
)
async def test_a_body_that_cannot_be_unpacked_is_told(coding, packed, why):
    async with a_server(saying(packed_answer(coding, packed))) as pool:
        made = await ask(pool)
        with pytest.raises(BrokenOff, match=why):
            await rest_of(made)
        pool.give_back(made)
        assert not made.is_reusable


async def test_a_packed_body_may_be_empty():
    async with a_server(saying(packed_answer(b"gzip", b""))) as pool:
        assert await whole(pool) == b""


def test_what_unpacks_to_very_much_comes_in_pieces():
    unpacker = Unpacker("gzip")
    unpacker.feed(gzip.compress(bytes(50 * PIECE_BYTES_MAX)))
    sizes = []
    while piece := unpacker.take():
        sizes.append(len(piece))
    unpacker.end()

    assert sizes == [PIECE_BYTES_MAX] * 50
