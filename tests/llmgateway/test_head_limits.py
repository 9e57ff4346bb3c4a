"""Headers are bounded in bytes, number and time; what is within the bounds passes as ever."""

import asyncio
import contextlib
import tracemalloc

import orjson
import pytest

from llmgateway import head_limits, outcomes
from tests.head_limits_server import all_that_comes, serving
from tests.waiting import PATIENCE_S

GOOD = b"GET /x HTTP/1.1\r\nhost: h\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE = b"a" * 200_000


async def app(scope, receive, send):
    """Tells how many headers there are, once the body is read, or at once at an address that says so."""
    assert scope["type"] == "http"
    is_hasty = scope["path"] == "/hasty"
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    while not is_hasty:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        is_hasty = not message["more_body"]
    body = str(len(scope["headers"])).encode()
    head = [(b"content-length", str(len(body)).encode())]
    if scope["path"] == "/hasty":
        head.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def impatient(settings):
    """A head must come soon. To be named before ``port``."""
    settings.BODY_READ_TIMEOUT_S = 1


@pytest.fixture
async def port(settings):
    settings.HEADER_BYTES_MAX, settings.HEADERS_MAX = 4096, 20
    async with serving(app) as port:
        yield port


async def ask(port, *pieces, pause_s=0.0):
    """The status line's code and the body, for a head that is sent in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(pause_s)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)
    finally:
        writer.close()


def header(count_bytes: int, name: bytes = b"a") -> bytes:
    return name + b": " + b"x" * count_bytes + b"\r\n"


async def test_headers_within_the_bounds_pass(port):
    assert await ask(port, GOOD + header(3900) + b"\r\n") == (200, b"2")
    assert await ask(port, GOOD + header(1, b"b") * 19 + b"\r\n") == (200, b"20")


async def test_a_long_body_behind_short_headers_passes(port):
    long = b"content-length: 20000\r\n\r\n" + b"b" * 20000
    assert await ask(port, b"POST /x HTTP/1.1\r\n" + long) == (200, b"1")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([GOOD + header(5000) + b"\r\n"], id="one header, at once"),
        pytest.param([GOOD + header(1000) * 5 + b"\r\n"], id="several together"),
        pytest.param([GOOD + header(1) * 20 + b"\r\n"], id="too many"),
        pytest.param([b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n"], id="the address"),
        pytest.param([GOOD + b"a: "] + [b"x" * 1000] * 6, id="one that never ends"),
        pytest.param([GOOD] + [header(1000)] * 6, id="headers that never end"),
    ],
)
async def test_more_is_refused_with_a_431_that_both_dialects_read(port, pieces):
    status, body = await ask(port, *pieces, pause_s=0.01)
    assert status == 431
    told = orjson.loads(body)
    assert told["type"] == "error"
    assert told["error"]["type"] == "invalid_request_error"
    assert "GATEWAY_HEADER_BYTES_MAX" in told["error"]["message"]


async def test_a_head_in_pieces_within_the_bounds_passes(port):
    whole = GOOD + header(2000) + b"\r\n"
    pieces = [whole[at : at + 100] for at in range(0, len(whole), 100)]
    assert await ask(port, *pieces, pause_s=0.001) == (200, b"2")


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_does_not_arrive_is_told_so(port):
    status, body = await ask(port, GOOD)
    assert status == 408
    assert b"GATEWAY_BODY_READ_TIMEOUT_S" in body


async def test_what_comes_with_the_begin_of_a_head_is_no_part_of_it(port):
    post = b"POST /x HTTP/1.1\r\ncontent-length: 6000\r\n\r\n"
    pieces = [post[:9], post[9:] + PIECE[:6000] + GOOD[:9], GOOD[9:] + b"connection: close\r\n\r\n"]
    told = await all_that_comes(port, *pieces)
    assert told.count(b"HTTP/1.1 200") == 2


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_begins_with_the_end_of_another_has_no_more_time(port):
    told = await all_that_comes(port, GOOD, b"\r\n" + GOOD)
    assert told.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in told


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_is_late_is_not_told_so_amid_an_answer(port):
    told = await all_that_comes(port, GOOD.replace(b"/x", b"/slow") + b"\r\n" + GOOD)
    assert told.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in told


@pytest.mark.usefixtures("impatient")
async def test_who_asks_nothing_is_let_go(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()


@pytest.mark.usefixtures("impatient")
async def test_a_connection_is_used_again_and_each_head_measured_anew(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(3):
        writer.write(GOOD + header(3000) + b"\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        await reader.readexactly(1)
    await asyncio.sleep(1.2)  # longer than a head may take: the connection rests, nothing is late
    writer.write(GOOD + b"\r\n")
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    writer.close()


async def test_what_is_no_http_is_refused_as_ever(port):
    assert (await ask(port, b"\x16\x03\x01 hello\r\n\r\n"))[0] == 400


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 20, 200])
async def test_trailers_are_read_and_told_to_nobody(port, cut):
    body = b"2\r\n{}\r\n0\r\n" + header(50, b"x-api-key") * 3 + b"\r\n"
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)] if cut else [body]
    assert await ask(port, CHUNKED, *pieces, pause_s=0.001) == (200, b"1")


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(header(1000), id="many"),
        pytest.param(b"x" * 1000, id="one that never ends"),
    ],
)
async def test_trailers_that_never_end_are_refused_as_headers_are(port, piece):
    begin = CHUNKED + b"2\r\n{}\r\n0\r\na: "
    status, body = await ask(port, begin, *[piece] * 6, pause_s=0.01)
    assert status == 431
    assert b"GATEWAY_HEADER_BYTES_MAX" in body


async def test_trailers_take_no_memory(port):
    """No more than a piece, however fast they come and however short each is."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tracemalloc.start()
    try:
        writer.write(CHUNKED + b"2\r\n{}\r\n0\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                writer.write(b"a: b\r\n" * 20_000)  # 120 kB
                await writer.drain()
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        writer.close()

    assert peak < 4_000_000


async def test_a_chunked_body_of_any_size_is_no_trailer(port):
    long = b"%x\r\n" % len(PIECE) + PIECE + b"\r\n"
    assert await ask(port, CHUNKED, *[long] * 5, b"0\r\n\r\n", pause_s=0.01) == (200, b"1")
    pieces = [b"30d40\r\n", PIECE[:5000], PIECE[5000:] + b"\r\n30d40\r\n", PIECE, b"\r\n0\r\n\r\n"]
    assert await ask(port, CHUNKED, *pieces, pause_s=0.01) == (200, b"1")


async def test_who_is_answered_before_it_is_read_gets_the_answer_and_then_the_end(
    port, monkeypatch
):
    """Whatever it goes on sending: closed at once, it would be told of a reset."""
    monkeypatch.setattr(head_limits, "LINGER_S", 0.5)  # a time, not a function
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /hasty HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n")
    for _ in range(20):
        writer.write(PIECE)
        await writer.drain()
    told = await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert told.startswith(b"HTTP/1.1 200 OK")
    assert told.endswith(b"\r\n\r\n1")

    async def go_on():
        while True:
            writer.write(PIECE)
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(go_on(), PATIENCE_S)


async def test_nothing_that_follows_an_early_answer_is_taken_for_a_request(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /hasty HTTP/1.1\r\ncontent-length: 5\r\n\r\n")
    told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    writer.write(b"12345" + GOOD + b"\r\n")
    writer.write_eof()
    told += await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert told.count(b"HTTP/1.1") == 1
    writer.close()


@pytest.mark.parametrize(
    "begin", [GOOD + b"a: ", CHUNKED + b"0\r\na: "], ids=["headers", "trailers"]
)
async def test_who_sends_far_too_much_before_it_reads_is_told_why_all_the_same(port, begin):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    for _ in range(50):
        writer.write(PIECE)
        await writer.drain()
    told = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()

    assert told.startswith(b"HTTP/1.1 431 ")
    assert b"GATEWAY_HEADER_BYTES_MAX" in told


@pytest.fixture
def book():
    """What is noted of requests that are over."""
    held, made = outcomes.held(), outcomes.Book()
    outcomes.hold(made)
    yield made
    outcomes.hold(held)


@pytest.mark.parametrize("pieces", [1, 6])
async def test_a_head_that_is_too_large_is_noted_where_it_is_for_the_gateway(port, book, pieces):
    for path in (b"/x", b"/v1/messages?key=1"):
        head = b"POST " + path + b" HTTP/1.1\r\nhost: h\r\n"
        sent = [head, *[header(6000 // pieces)] * pieces]
        await ask(port, *(sent if pieces > 1 else [b"".join(sent) + b"\r\n"]), pause_s=0.01)
    (outcome,) = book.take(9)
    assert (outcome.method, outcome.path, outcome.status) == ("POST", "/v1/messages", 431)
    assert (outcome.dialect, outcome.error, outcome.word) == (
        "anthropic_messages",
        "HeadTooLarge",
        "refused",
    )


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_does_not_arrive_is_noted(port, book):
    await ask(port, b"GET /v1/models HTTP/1.1\r\nhost: h\r\n")
    (outcome,) = book.take(9)
    assert (outcome.method, outcome.path, outcome.status) == ("GET", "/v1/models", 408)
    assert (outcome.dialect, outcome.error) == ("openai_chat", "HeadTooSlow")
    assert outcome.ended_s - outcome.began_s >= 1
