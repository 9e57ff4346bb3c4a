"""Compressed bodies: what is unpacked, what is refused, and how little that may cost."""

import asyncio
import contextlib
import gzip
import random
import threading
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgateway import bodies
from llmgateway.bodies import DEFLATE, GZIP, STEP_BYTES, STEPS_AT_ONCE, read_encoding, unpack
from llmgateway.errors import BodyBroken, EncodingUnknown, RequestTooLarge

MAX = 32 * 1024 * 1024
NOISE = random.Random(5).randbytes(3 * STEP_BYTES)


def bare(data: bytes) -> bytes:
    """A deflate stream without zlib's head, as some clients send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": (gzip.compress, GZIP), "zlib": (zlib.compress, DEFLATE), "raw": (bare, DEFLATE)}


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"a" * STEP_BYTES, b"a" * (STEP_BYTES * STEPS_AT_ONCE + 1), NOISE, NOISE * 20],
    ids=["nothing", "short", "one step", "just too long for here", "noise", "long noise"],
)
async def test_a_body_comes_out_as_it_went_in(name, data):
    packer, encoding = PACKERS[name]

    assert await unpack(packer(data), encoding, bytes_max=MAX) == data


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKERS)), st.integers(1, 5))
@settings(deadline=None)
def test_any_body_comes_out_whatever_the_size_of_a_step(data, name, step_bytes):
    packer, encoding = PACKERS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "STEP_BYTES", step_bytes)  # a size, not a function

        assert b"".join(bodies.unpack_steps(packer(data), encoding)) == data


@pytest.mark.parametrize("name", PACKERS)
async def test_a_body_may_have_as_many_bytes_as_are_allowed_and_no_more(name):
    packer, encoding = PACKERS[name]

    assert len(await unpack(packer(b"a" * 1000), encoding, bytes_max=1000)) == 1000
    with pytest.raises(RequestTooLarge, match="GATEWAY_BODY_BYTES_MAX"):
        await unpack(packer(b"a" * 1001), encoding, bytes_max=1000)


async def test_a_bomb_is_refused_before_it_takes_more_memory_than_is_allowed():
    bomb = gzip.compress(b"\0" * 300_000_000, 9, mtime=0)
    allowed = 4 * 1024 * 1024
    assert len(bomb) < 400_000
    tracemalloc.start()
    try:
        with pytest.raises(RequestTooLarge):
            await unpack(bomb, GZIP, bytes_max=allowed)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < allowed + 8 * STEP_BYTES  # and zlib's own window and buffers


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [2, 40, 5 * STEP_BYTES])
async def test_a_stream_that_is_cut_off_is_broken(name, size):
    packer, encoding = PACKERS[name]
    packed = packer((NOISE * 2)[:size])

    for cut in {1, len(packed) // 2, len(packed) - 1}:
        with pytest.raises(BodyBroken):
            await unpack(packed[:cut], encoding, bytes_max=MAX)


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("more", [b"x", NOISE])
async def test_a_stream_that_something_follows_is_broken(name, more):
    packer, encoding = PACKERS[name]

    with pytest.raises(BodyBroken, match="follows"):
        await unpack(packer(b"{}") + more, encoding, bytes_max=MAX)
    with pytest.raises(BodyBroken, match="follows"):
        await unpack(packer(NOISE) + more, encoding, bytes_max=MAX)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"model": "m"}', GZIP),
        (b'{"model": "m"}', DEFLATE),
        (zlib.compress(b"{}"), GZIP),
        (gzip.compress(b"{}", mtime=0), DEFLATE),
        (gzip.compress(b"{}", mtime=0)[:-8] + b"\0\0\0\0\0\0\0\0", GZIP),  # a wrong checksum
    ],
)
async def test_what_is_not_compressed_so_is_broken(body, encoding):
    with pytest.raises(BodyBroken):
        await unpack(body, encoding, bytes_max=MAX)


@given(st.binary(max_size=100), st.sampled_from([GZIP, DEFLATE]))
@settings(deadline=None)
def test_any_bytes_are_unpacked_or_broken(body, encoding):
    with contextlib.suppress(BodyBroken):
        b"".join(bodies.unpack_steps(body, encoding))


async def test_a_short_body_is_unpacked_at_once_and_a_long_one_in_a_thread():
    seen: list[str] = []

    class Spying(bodies.Unpacking):
        def go_on(self, steps=None):
            seen.append(threading.current_thread().name)
            return super().go_on(steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "Unpacking", Spying)
        await unpack(gzip.compress(b"a" * 1000, mtime=0), GZIP, bytes_max=MAX)
        short, seen = seen, []
        await unpack(gzip.compress(b"a" * 1_000_000, mtime=0), GZIP, bytes_max=MAX)

    here = threading.current_thread().name
    assert short == [here]
    assert seen[0] == here
    assert seen[1] != here


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"\0" * 30_000_000, mtime=0), b"\0\0\0\xff\xff" * 6_000_000]
)
async def test_the_loop_goes_on_while_a_long_body_is_unpacked(packed):
    """Also where a stream holds nothing but empty blocks, and never gives a byte."""
    encoding = GZIP if packed.startswith(b"\x1f") else DEFLATE
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.001)

    ticking = asyncio.ensure_future(tick())
    await asyncio.sleep(0)
    with contextlib.suppress(BodyBroken):
        await unpack(packed, encoding, bytes_max=MAX)
    count = len(ticks)
    ticking.cancel()

    assert count > 3


@pytest.mark.parametrize(
    ("values", "encoding"),
    [
        ([], ""),
        ([""], ""),
        (["identity"], ""),
        (["gzip"], GZIP),
        ([" GZip "], GZIP),
        (["x-gzip"], GZIP),
        (["deflate"], DEFLATE),
        (["identity, gzip"], GZIP),
        (["identity", "gzip,"], GZIP),
    ],
)
def test_the_headers_name_one_encoding_or_none(values, encoding):
    assert read_encoding(values) == encoding


@pytest.mark.parametrize(
    "values", [["br"], ["zstd"], ["gzip, gzip"], ["gzip", "deflate"], ["gzip;q=1"], ["\xff" * 9999]]
)
def test_other_encodings_are_refused_with_what_is_taken_instead(values):
    with pytest.raises(EncodingUnknown, match="gzip or deflate, once") as caught:
        read_encoding(values)

    assert len(caught.value.message) < 300
