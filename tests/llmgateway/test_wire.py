"""The sending side of an answer, and the pings that keep a silent one alive."""

import asyncio
import time

import pytest

from llmgateway.wire import Message, Wire

PING = b"event: ping\n\n"
STREAM = "text/event-stream"
HEADERS = {"x-of-whom": "us"}
RAW_HEADERS = [(b"content-type", b"text/event-stream"), (b"x-of-whom", b"us")]
START = {"type": "http.response.start", "status": 200, "headers": RAW_HEADERS}


class Line:
    """What an ASGI server was told to send; ``gate`` holds it up as a slow client would."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        await self.gate.wait()

    @property
    def bodies(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == "http.response.body"]


@pytest.fixture
async def line():
    return Line()


def keep_alive(wire, after_s):
    wire.keep_alive(PING, after_s=after_s, content_type=STREAM, headers=lambda: HEADERS)


async def test_an_answer_in_pieces(line):
    wire = Wire(line.send)
    await wire.start(200, STREAM, HEADERS)
    await wire.write(b"one")
    await wire.end(b"two")

    assert line.sent == [
        START,
        {"type": "http.response.body", "body": b"one", "more_body": True},
        {"type": "http.response.body", "body": b"two", "more_body": False},
    ]
    assert wire.bytes_sent == 6
    assert wire.is_started
    assert wire.is_ended


async def test_pings_begin_an_answer_that_does_not_come(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.05)
    await asyncio.sleep(0.13)
    await wire.start(500, STREAM, {})  # too late: the answer has begun
    await wire.end(b"sorry")

    assert line.sent[0] == START
    *pings, last = line.bodies
    assert last == b"sorry"
    assert set(pings) == {PING}
    assert wire.bytes_sent == len(pings) * len(PING) + 5


async def test_pings_fill_a_silence_after_the_start(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.05)
    await wire.start(200, STREAM, HEADERS)
    await wire.write(b"one")
    await asyncio.sleep(0.08)
    await wire.write(b"two")
    await wire.end()

    first, *pings, second, end = line.bodies
    assert (first, second, end) == (b"one", b"two", b"")
    assert set(pings) == {PING}
    assert [m["type"] for m in line.sent].count("http.response.start") == 1


async def test_no_ping_while_pieces_keep_coming(line, loop_clock):
    wire = Wire(line.send)
    keep_alive(wire, 60)
    await wire.start(200, STREAM, HEADERS)
    for passed_s in range(0, 200, 40):
        loop_clock.passed_s = passed_s
        await asyncio.sleep(0)  # whatever is due by then is done
        await wire.write(b"x")
    await wire.end()

    assert PING not in line.bodies


async def test_no_ping_while_a_piece_is_being_sent(line):
    """A client that reads slowly is not silent: a ping would only lengthen what waits for it."""
    wire = Wire(line.send)
    keep_alive(wire, 0.03)
    await wire.start(200, STREAM, HEADERS)
    line.gate.clear()
    task = asyncio.ensure_future(wire.write(b"large"))
    await asyncio.sleep(0.12)
    assert line.bodies == [b"large"]

    line.gate.set()
    await task
    await wire.end()
    assert line.bodies == [b"large", b""]


async def test_no_ping_after_the_end(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.03)
    await wire.start(200, STREAM, HEADERS)
    await wire.end(b"all")
    await asyncio.sleep(0.08)

    assert line.bodies == [b"all"]


async def test_no_ping_after_it_was_stopped(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.03)
    wire.stop_pings()
    wire.stop_pings()
    await asyncio.sleep(0.08)

    assert line.sent == []


async def test_an_answer_that_ends_while_a_ping_begins_it_is_not_followed_by_the_ping(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.03)
    line.gate.clear()
    await asyncio.sleep(0.05)
    assert line.sent == [START]  # the ping's own start is on its way

    task = asyncio.ensure_future(wire.end(b"all"))
    await asyncio.sleep(0)
    line.gate.set()
    await task
    await asyncio.sleep(0.02)

    assert line.bodies == [b"all"]


async def test_an_answer_that_ends_just_before_a_ping_is_not_followed_by_it(line):
    wire = Wire(line.send)
    keep_alive(wire, 0.5)
    await wire.start(200, STREAM, HEADERS)
    ending: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, lambda: ending.append(loop.create_task(wire.end(b"all"))))
    time.sleep(0.6)  # noqa: ASYNC251  (a busy loop: both timers fire in one turn, the end's first)
    await asyncio.sleep(0.02)

    assert line.bodies == [b"all"]


async def test_a_client_that_breaks_off_leaves_the_wire_ready_to_end():
    async def fail(_message: Message) -> None:
        raise OSError("gone")

    wire = Wire(fail)
    with pytest.raises(OSError, match="gone"):
        await wire.write(b"one")
    keep_alive(wire, 10)
    with pytest.raises(OSError, match="gone"):
        await wire.end()

    assert wire.is_ended
