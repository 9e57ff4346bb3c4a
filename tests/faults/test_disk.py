"""A disk without room, and a SQLite database that somebody else holds locked.

A disk that is really full (ENOSPC) is a small one in memory, which takes the right to mount. The other tests set a limit
on the size of files on the running process: what would grow a file beyond it is refused by the kernel (EFBIG), to
journal, database and log alike.
"""

import asyncio
import contextlib
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground, Installed, Told, state_of
from tests.faults.test_ends import STREAMS, under_way

DISK_BYTES = 48 * 1024 * 1024
FULL_BYTES = 64 * 1024
"""Less than the database and a segment of the journal have, more than the log of one of these tests needs."""


@pytest.fixture
def shared(installed: Installed, tmp_path: Path) -> Iterator[Ground]:
    with installed.ground(tmp_path / "data") as ground:
        yield ground
        ground.gateway.stop()
        ground.check_stopped()


@pytest.fixture
async def ground(shared: Ground) -> AsyncIterator[Ground]:
    await shared.warm_up()
    return shared


def allow_files_of(ground: Ground, size: int) -> None:
    _soft, hard = resource.prlimit(ground.gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(ground.gateway.pid, resource.RLIMIT_FSIZE, (size, hard))


@contextlib.contextmanager
def files_of_children(size: int) -> Iterator[None]:
    """The limit for what is started meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def all_well(all_told: list[Told]) -> bool:
    for told in all_told:
        told.check_end()
    return all(told.status == 200 and not told.error for told in all_told)


async def test_a_full_disk_loses_no_record_and_room_is_used_at_once(ground: Ground):
    """The segment in use has its room already: requests go on, and their records wait for the database."""
    allow_files_of(ground, FULL_BYTES)
    assert all_well(await ground.ask_in_all_ways("chat/sound", "native/sound", count=10))
    await asyncio.sleep(0.5)
    assert len(ground.gateway.records()) < len(ground.upstream.requests)

    allow_files_of(ground, resource.RLIM_INFINITY)
    await ground.check(may_log_errors=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with room for an installation, the journal and some records."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    run = subprocess.run(words, capture_output=True, text=True)
    if run.returncode != 0:
        pytest.skip(f"No disk can be mounted here: {run.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill what is left of it, to the last byte."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(disk).free == 0
    try:
        yield
    finally:
        ballast.unlink()


async def test_on_a_disk_that_is_really_full_records_wait_and_readiness_says_so(
    installed: Installed, small_disk: Path
):
    with installed.ground(small_disk / "data") as ground:
        await ground.warm_up()
        async with ground.client() as http:
            streams = await under_way(ground, http, "chat/slow", "native/slow")
            with full(small_disk):
                assert all_well(await asyncio.gather(*streams))
                assert all_well(await ground.ask_in_all_ways("chat/sound", count=5))
                await state_of(ground, "ledger", "usage records wait for the database (SQLITE_FULL")
                report = (await http.get("/health/ready")).json()
                assert (report["status"], report["journal"]) == ("ready", "ok")
                assert report["usage_records_waiting"] >= STREAMS
                assert len(ground.gateway.records()) < len(ground.upstream.requests)
        await state_of(ground, "ledger", "ok")
        await ground.check(may_log_errors=True)
        ground.gateway.stop()
        ground.check_stopped()


async def test_without_room_for_a_new_segment_no_request_is_sent_that_could_not_be_booked(
    installed: Installed, tmp_path: Path
):
    with installed.ground(tmp_path / "other") as ground:
        await ground.warm_up()
        asked = len(ground.upstream.requests)
        ground.gateway.stop()
        with files_of_children(FULL_BYTES):
            ground.gateway.start(until="/health/live")
        for told in await ground.ask_in_all_ways("chat/sound"):
            told.check_end()
            assert told.status in {503, 529}
            assert "GATEWAY_DATA_DIR" in told.error["message"]
        assert len(ground.upstream.requests) == asked

        allow_files_of(ground, resource.RLIM_INFINITY)
        await ground.check(may_log_errors=True)


async def test_a_locked_database_holds_up_no_request_and_loses_no_record(ground: Ground):
    other = sqlite3.connect(ground.gateway.data_dir / "gateway.sqlite3", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        assert all_well(await ground.ask_in_all_ways("chat/sound", "native/sound", count=10))
        assert all(told.took_s < 10 for told in ground.told)
        asked = len(ground.upstream.requests)
        assert len(ground.gateway.records()) < asked
    finally:
        other.rollback()
        other.close()
    await ground.check()
