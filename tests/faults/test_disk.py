"""A disk without room, and a SQLite database that somebody else holds locked.

The disk is full by a limit on the size of files that is set on the running process: what would grow a file beyond it
is refused by the kernel (EFBIG), to journal, database and log alike, without a right to mount anything.
"""

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground, Installed, Told

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


async def test_without_room_for_a_new_segment_no_request_is_sent_that_could_not_be_booked(
    installed: Installed, tmp_path: Path
):
    with installed.ground(tmp_path / "other") as ground:
        ground.gateway.stop()
        with files_of_children(FULL_BYTES):
            ground.gateway.start(until="/health/live")
        for told in await ground.ask_in_all_ways("chat/sound"):
            told.check_end()
            assert told.status in {503, 529}
            assert "GATEWAY_DATA_DIR" in told.error["message"]
        assert not ground.upstream.requests

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
