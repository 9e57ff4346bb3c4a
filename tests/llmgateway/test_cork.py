"""A head leaves with the piece that follows it, and never later than the loop's next turn."""

import asyncio

import pytest

from llmgateway.cork import JOINED_BYTES_MAX, Cork

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Transport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.done


@pytest.fixture
async def transport():
    return Transport()


@pytest.fixture
async def cork(transport):
    return Cork(transport, asyncio.get_running_loop(), transport.close)


async def test_head_and_body_leave_together(cork, transport):
    cork.write(HEAD)
    assert transport.done == []
    cork.write(b"{}")
    cork.write(b"more")

    assert transport.done == [HEAD + b"{}", b"more"]
    await asyncio.sleep(0)
    assert transport.done == [HEAD + b"{}", b"more"]


async def test_a_head_alone_leaves_with_the_next_turn(cork, transport):
    cork.write(HEAD)
    await asyncio.sleep(0)
    assert transport.done == [HEAD]
    cork.write(b"{}")
    assert transport.done == [HEAD, b"{}"]


async def test_a_large_body_is_not_copied(cork, transport):
    body = bytes(JOINED_BYTES_MAX + 1)
    cork.write(HEAD)
    cork.write(body)

    assert transport.done == [HEAD, body]


async def test_closing_loses_nothing(cork, transport):
    cork.write(HEAD)
    assert not cork.is_closing()
    cork.close()

    assert transport.done == [HEAD, "closed"]
    assert cork.is_closing()


async def test_an_answer_after_a_continue_is_whole(cork, transport):
    cork.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    cork.write(HEAD)
    cork.write(b"{}")
    await asyncio.sleep(0)

    assert b"".join(transport.done) == b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"{}"
