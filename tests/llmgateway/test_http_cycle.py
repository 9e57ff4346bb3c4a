"""The short ways of an answer give what uvicorn's own would, over real connections."""

import asyncio
import gc
import weakref
from functools import partial

import pytest
from django.http import HttpResponse
from django.urls import path

from llmgateway.body_room import Room
from llmgateway.http_cycle import Cycle
from llmgateway.lean_handler import LeanHandler
from llmgateway.wire import CYCLE, Wire
from tests.head_limits_server import all_that_comes, serving
from tests.waiting import PATIENCE_S, until

BODY = b'{"answer": "short"}'
GET = b"GET %b HTTP/1.1\r\nhost: h\r\n%b\r\n"
POST = b"POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n%b\r\n%b"


async def echo(request):
    """A view that answers with what it was sent."""
    return HttpResponse(request.body, content_type="text/plain")


class Seen:
    """What became of the short ways, and whether they are to be had."""

    def __init__(self):
        self.is_short = True
        self.went = []
        self.left = 0
        self.handler = None
        self.made = []
        self.waits, self.has_left = asyncio.Event(), asyncio.Event()

    def leave(self):
        """The client has left."""
        self.left += 1
        self.has_left.set()


def watched(cycle, seen):
    """The cycle, telling of each way that was tried whether it went."""
    for name in ("take_body", "answer", "begin", "write_piece", "end"):
        setattr(cycle, name, partial(_try, getattr(cycle, name), name, seen))
    return cycle


def _try(way, name, seen, *words):
    went = way(*words)
    seen.went.append((name, went is not None and went is not False))
    return went


async def serve(scope, receive, send, seen):
    """Answers by what the path says, over a Wire as the gateway does."""
    assert type(scope[CYCLE]) is Cycle
    if seen.handler is not None:
        seen.made.append(weakref.ref(scope[CYCLE]))
        await seen.handler(scope, receive, send)
        return
    cycle = watched(scope[CYCLE], seen) if seen.is_short else None
    wire = Wire(send, cycle)
    asked = scope["path"]
    body = cycle.take_body() if cycle else None
    while body is None:
        message = await receive()
        if not message.get("more_body"):
            body = message.get("body", b"")
    headers = {"x-of-whom": "us"}
    if asked in ("/wait", "/note"):
        scope[CYCLE].watch(seen.leave)
    if asked == "/wait":
        seen.waits.set()
        await asyncio.wait_for(seen.has_left.wait(), PATIENCE_S)
    if asked == "/close":
        headers["connection"] = "close"
    if asked == "/broken":
        headers["x-of-whom"] = "us\r\nset-cookie: theirs"
    while asked == "/flood" and not scope[CYCLE].disconnected:
        await wire.start(200, "text/plain", {})
        await wire.write(b"x" * 100_000)
    if asked == "/stream":
        await wire.start(200, "text/event-stream", headers)
        for piece in (b"one", b"", b"two" * 40_000):
            await wire.write(piece)
        await wire.end(b"three")
    else:
        what = BODY + body + scope["query_string"] + scope["raw_path"]
        await wire.answer(404 if asked == "/no thing" else 200, "application/json", headers, what)


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def kept_s():
    """How long a connection is kept on which nothing is asked."""
    return 0.3


@pytest.fixture
async def port(seen, kept_s):
    async def app(scope, receive, send):
        await serve(scope, receive, send, seen)

    async with serving(app, date_header=False, timeout_keep_alive=kept_s) as port:
        yield port


CASES = [
    pytest.param([GET % (b"/a?b=c%20d", b"")], ["take_body", "answer"], id="an answer"),
    pytest.param([GET % (b"/no%20thing", b"")], ["take_body", "answer"], id="an error"),
    pytest.param([POST % (5, b"", b"hello")], ["take_body", "answer"], id="a body at once"),
    pytest.param([POST % (5, b"", b"he"), b"llo"], ["answer"], id="a body in pieces"),
    pytest.param(
        [b"GET /a HTTP/1.0\r\nhost: h\r\n\r\n"], ["take_body", "answer"], id="of an old client"
    ),
    pytest.param([GET % (b"/a", b"connection: close\r\n")], ["take_body", "answer"], id="the last"),
    pytest.param([GET % (b"/close", b"")], ["take_body"], id="told to close"),
    pytest.param(
        [(GET % (b"/a", b"")).replace(b"GET", b"HEAD")], ["take_body"], id="only its head"
    ),
    pytest.param([GET % (b"/broken", b"")], ["take_body"], id="a header that would end early"),
    pytest.param(
        [GET % (b"/stream", b"")],
        ["take_body", "begin", "write_piece", "write_piece", "end"],
        id="a stream",
    ),
    pytest.param(
        [GET % (b"/stream", b"connection: close\r\n")],
        ["take_body", "begin", "write_piece", "write_piece", "end"],
        id="a stream that is the last",
    ),
    pytest.param(
        [(GET % (b"/stream", b"")).replace(b"GET", b"HEAD")], ["take_body"], id="a stream's head"
    ),
    pytest.param(
        [POST % (5, b"expect: 100-continue\r\n", b""), b"hello"], ["answer"], id="that asks first"
    ),
    pytest.param(
        [POST % (5, b"expect: 100-continue\r\n", b"hello")],
        ["answer"],
        id="that asks first and does not wait",
    ),
]


@pytest.mark.parametrize(("pieces", "went"), CASES)
async def test_short_ways_lead_to_the_same(port, seen, pieces, went):
    short = await all_that_comes(port, *pieces)
    assert [name for name, has_gone in seen.went if has_gone] == went
    seen.is_short = False
    long = await all_that_comes(port, *pieces)
    assert short == long
    assert b"set-cookie" not in short.lower()


async def test_requests_that_are_sent_together_are_answered_in_their_order(port):
    asked = b"".join(GET % (b"/a?%d" % number, b"") for number in range(9))
    answers = await all_that_comes(port, asked)
    each = answers.split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.rpartition(b"}")[2] for answer in each] == [b"%d/a" % n for n in range(9)]


@pytest.mark.parametrize("kept_s", [1])
async def test_a_connection_is_kept_while_it_is_used_and_no_longer(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    for _ in range(4):  # longer in all than one that is idle is kept
        writer.write(GET % (b"/a", b""))
        head = await asyncio.wait_for(reader.readuntil(b"/a"), PATIENCE_S)
        assert head.startswith(b"HTTP/1.1 200")
        asked_at = loop.time()
        await asyncio.sleep(0.4)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    assert loop.time() - asked_at >= 0.95
    writer.close()


async def test_a_connection_on_which_only_empty_lines_come_is_not_kept(port):
    answer = await all_that_comes(port, GET % (b"/a", b""), b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_connection_is_kept_for_a_head_that_came_behind_a_request(port, kept_s):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = GET % (b"/a", b"")
    writer.write(asked + asked[:9])
    await asyncio.wait_for(reader.readuntil(b"/a"), PATIENCE_S)
    await asyncio.sleep(2 * kept_s)  # it has its own time
    writer.write(asked[9:])
    assert await asyncio.wait_for(reader.readuntil(b"/a"), PATIENCE_S)
    writer.close()


async def test_whoever_reads_slowly_is_waited_for(port, seen):
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(GET % (b"/flood", b""))
    await asyncio.sleep(0.3)
    written = len(seen.went)
    assert seen.went[-1] == ("write_piece", False)  # the last one waits for the client
    await asyncio.sleep(0.2)
    assert len(seen.went) == written
    writer.transport.abort()


async def test_who_has_left_is_told_of_at_once_and_once(port, seen):
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET % (b"/wait", b""))
    await asyncio.wait_for(seen.waits.wait(), PATIENCE_S)
    writer.transport.abort()
    await asyncio.wait_for(seen.has_left.wait(), PATIENCE_S)
    assert seen.left == 1


@pytest.mark.parametrize("before", [b"", GET % (b"/a", b"")], ids=["the first", "a later one"])
async def test_who_has_asked_for_more_is_seen_to_leave(port, seen, before):
    """The request under way is told, too, not only the last that came."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(before + (GET % (b"/wait", b"")) * 2)
    await asyncio.wait_for(seen.waits.wait(), PATIENCE_S)
    writer.transport.abort()
    await asyncio.wait_for(seen.has_left.wait(), PATIENCE_S)


async def test_who_has_sent_a_long_body_is_seen_to_leave(port, seen):
    """Its last piece stops the reading, which has to go on."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((POST % (100_000, b"", b"")).replace(b"/echo", b"/wait"))
    await asyncio.sleep(0.05)
    writer.write(b"x" * 100_000)
    await asyncio.wait_for(seen.waits.wait(), PATIENCE_S)
    writer.transport.abort()
    await asyncio.wait_for(seen.has_left.wait(), PATIENCE_S)


async def test_who_has_an_answer_has_not_left(port, seen):
    await all_that_comes(port, GET % (b"/note", b"connection: close\r\n"))
    await asyncio.sleep(0.05)
    assert seen.left == 0


async def test_a_request_leaves_no_garbage_that_somebody_has_to_look_for(port, seen):
    """Each cycle is let go of with the next one of its connection, the last one with it, without the collector."""
    seen.handler = LeanHandler(
        (path("v1/echo", echo),),  # type: ignore[arg-type]
        body_bytes_max=100,
        body_read_timeout_s=60,
        room=Room(1000, "GATEWAY_BODIES_BYTES_MAX"),
        check_sender=echo,
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            writer.write(POST.replace(b"/echo", b"/v1/echo") % (5, b"", b"hello"))
            await asyncio.wait_for(reader.readuntil(b"hello"), PATIENCE_S)
        await asyncio.sleep(0.05)
        assert [made() is None for made in seen.made] == [True, True, False]
        writer.close()
        await until(lambda: seen.made[-1]() is None)
    finally:
        gc.enable()
