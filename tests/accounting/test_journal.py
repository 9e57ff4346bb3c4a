"""The journal: what was noted is found again, and nothing is deleted that is not booked."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from accounting.errors import JournalUnwritable
from accounting.journal import CLOSING_BYTES, RETIRE_AFTER_S, Journal, Segment, dead_segments

ROOT = Path(__file__).resolve().parents[2]
SMALL = 4 * CLOSING_BYTES
"""Room for three attempts under way, and some lines."""


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*"))


def lines_of(segment: Segment) -> list[bytes]:
    return segment.path.read_bytes().rstrip(b"\0").splitlines()


def leave_segment(directory: Path, content: bytes) -> Path:
    """What a process that is gone left behind."""
    directory.mkdir(exist_ok=True)
    path = directory / "1-abcdef01-000001.jsonl"
    path.write_bytes(content)
    return path


def child(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A real process that has the journal to itself."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


WRITING_CHILD = """
import sys, time
from pathlib import Path
from accounting.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.open(b'{"id":"first"}')
segment = journal.open(b'{"id":"second"}')
journal.close(segment, b'{"id":"second","over":true}')
print("written", flush=True)
time.sleep(60)
"""


def test_both_lines_of_an_attempt_stand_in_one_segment(tmp_path):
    journal = Journal(tmp_path / "made" / "here")
    segment = journal.open(b"begun")
    journal.close(segment, b"over")

    assert lines_of(segment) == [b"begun", b"over"]
    assert segment.path.stat().st_mode & 0o777 == 0o600


def test_what_waits_is_what_was_closed_and_is_not_booked(tmp_path):
    journal = Journal(tmp_path)
    first, _second = journal.open(b"first"), journal.open(b"second")
    assert journal.waiting == 0

    journal.close(first, b"over")
    assert journal.waiting == 1

    journal.forget(first, 1)
    assert journal.waiting == 0


def test_its_depth_is_what_is_under_way_what_waits_and_what_that_takes_on_the_disk(tmp_path):
    journal = Journal(tmp_path, segment_bytes=SMALL)
    assert journal.depth() == (0, 0, 0, 0)
    first, *_others, last = (journal.open(b"x" * 100) for _ in range(4))
    assert journal.depth() == (4, 0, 2, 404)  # 4 lines of 100 bytes and an end
    journal.close(last, b"over")
    assert journal.depth() == (3, 1, 2, 409)
    journal.forget(last, 1)
    assert journal.depth() == (3, 0, 2, 409)
    for _ in range(3):
        journal.close(first, b"over")
    journal.forget(first, 3)
    assert journal.depth() == (0, 0, 1, 106)  # the first segment is deleted
    journal.shut()
    assert journal.depth() == (0, 0, 0, 0)


def test_a_full_segment_is_followed_by_another_and_deleted_once_it_is_booked(tmp_path):
    journal = Journal(tmp_path, segment_bytes=SMALL)
    segments = [journal.open(b"x" * 100) for _ in range(4)]

    # 3 attempts under way keep 3 * CLOSING_BYTES; a fourth does not fit beside their lines.
    assert segments[0] is segments[2]
    assert segments[3] is not segments[0]
    assert len(files(tmp_path)) == 2

    for segment in segments[:3]:
        journal.close(segment, b"y" * (CLOSING_BYTES - 1))
    journal.forget(segments[0], 2)
    assert len(files(tmp_path)) == 2
    journal.forget(segments[0], 1)
    assert files(tmp_path) == [segments[3].path.name]


def test_a_segment_that_is_booked_already_is_deleted_when_it_is_full(tmp_path):
    journal = Journal(tmp_path, segment_bytes=SMALL)
    segment = journal.open(b"x" * CLOSING_BYTES)
    journal.close(segment, b"y" * 1000)
    journal.forget(segment, 1)
    assert files(tmp_path) == [segment.path.name]

    following = journal.open(b"x" * (2 * CLOSING_BYTES))

    assert following is not segment
    assert files(tmp_path) == [following.path.name]


def test_a_segment_that_is_a_day_old_is_followed_by_another(tmp_path):
    journal = Journal(tmp_path)
    old = journal.open(b"first")
    journal.retire_old(old.made_s + RETIRE_AFTER_S - 1)
    assert journal.open(b"second") is old

    journal.retire_old(old.made_s + RETIRE_AFTER_S)
    assert journal.open(b"third") is not old
    journal.close(old, b"first is over")  # for which there is room
    journal.close(old, b"second is over")
    assert len(files(tmp_path)) == 2
    journal.forget(old, 2)
    assert len(files(tmp_path)) == 1


def test_a_journal_that_is_not_in_use_has_nothing_to_retire(tmp_path):
    journal = Journal(tmp_path)
    journal.retire_old(RETIRE_AFTER_S)
    assert files(tmp_path) == []


def test_a_closing_line_that_is_too_long_is_refused_and_changes_nothing(tmp_path):
    journal = Journal(tmp_path)
    segment = journal.open(b"begun")

    with pytest.raises(ValueError, match="16384 bytes, not fewer than 16384"):
        journal.close(segment, b"y" * CLOSING_BYTES)

    journal.close(segment, b"over")
    assert lines_of(segment) == [b"begun", b"over"]


def test_a_note_longer_than_a_segment_is_refused(tmp_path):
    journal = Journal(tmp_path, segment_bytes=SMALL)

    with pytest.raises(JournalUnwritable, match="longer than a segment"):
        journal.open(b"x" * SMALL)
    assert journal.open(b"short").path.exists()


def test_shutting_deletes_what_is_booked(tmp_path):
    journal = Journal(tmp_path)
    journal.shut()
    segment = journal.open(b"begun")
    journal.close(segment, b"over")
    journal.forget(segment, 1)
    journal.shut()

    assert files(tmp_path) == []


def test_shutting_keeps_what_is_not_booked(tmp_path):
    journal = Journal(tmp_path)
    segment = journal.open(b"begun")
    journal.shut()
    assert files(tmp_path) == [segment.path.name]

    journal.close(segment, b"over")
    journal.forget(segment, 1)
    assert files(tmp_path) == []


def test_many_threads_write_whole_lines(tmp_path):
    journal = Journal(tmp_path, segment_bytes=64 * CLOSING_BYTES)

    def write(name: int) -> None:
        for number in range(200):
            segment = journal.open(b"%d-%d " % (name, number) + b"x" * 300)
            journal.close(segment, b"%d-%d over" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = [
        line
        for path in tmp_path.glob("*.jsonl")
        for line in path.read_bytes().rstrip(b"\0").splitlines()
    ]
    expected = {(name, number) for name in range(4) for number in range(200)}
    begun = [line for line in lines if line.endswith(b"x" * 300)]
    over = [line for line in lines if line.endswith(b" over")]
    assert len(lines) == len(begun) + len(over)
    for some in (begun, over):
        assert {tuple(map(int, line.split()[0].split(b"-"))) for line in some} == expected


def test_a_folder_that_cannot_be_written_is_told_with_the_setting_that_mends_it(tmp_path):
    (tmp_path / "journal").write_text("a file where a folder belongs")
    journal = Journal(tmp_path / "journal")

    with pytest.raises(JournalUnwritable, match="GATEWAY_DATA_DIR") as caught:
        journal.open(b"begun")
    assert caught.value.retry_after_s == 5
    with pytest.raises(JournalUnwritable):
        journal.check_writable()

    (tmp_path / "journal").unlink()
    journal.check_writable()
    journal.check_writable()
    assert len(files(tmp_path / "journal")) == 1


def test_a_full_segment_is_told_where_there_is_no_room_for_another(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal", SMALL)
    for _ in range(3):
        journal.check_writable()
        journal.open(b"begun")

    def no_room(*_words: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(JournalUnwritable):
            journal.open(b"begun")
        with pytest.raises(JournalUnwritable, match="No space left"):
            journal.check_writable()

    journal.check_writable()
    journal.open(b"begun")


def test_a_disk_without_room_is_told_before_anything_is_lost(tmp_path):
    """A limit on the size of files stands in for a full disk: allocating fails in the same call."""
    script = """
import resource, sys
from pathlib import Path
from accounting.errors import JournalUnwritable
from accounting.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
journal = Journal(Path(sys.argv[1]))
try:
    journal.open(b"begun")
except JournalUnwritable as error:
    print(error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(journal.open(b"begun").path.stat().st_size)
"""
    out, errors = child(script, str(tmp_path)).communicate(timeout=100)

    assert errors == b""
    reason, size = out.decode().splitlines()
    assert os.strerror(errno.EFBIG) in reason
    assert int(size) == 8 * 1024 * 1024
    assert len(files(tmp_path)) == 1  # what could not be allocated is gone


def test_the_segment_of_a_living_process_is_left_alone_and_that_of_a_killed_one_is_read(tmp_path):
    process = child(WRITING_CHILD, str(tmp_path))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert list(dead_segments(tmp_path)) == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    [segment] = dead_segments(tmp_path)
    assert list(segment.lines()) == [
        b'{"id":"first"}',
        b'{"id":"second"}',
        b'{"id":"second","over":true}',
    ]
    assert list(dead_segments(tmp_path)) == []  # it is locked while it is read
    segment.keep()
    [segment] = dead_segments(tmp_path)
    segment.remove()
    assert files(tmp_path) == []


def test_a_process_does_not_read_its_own_segments(tmp_path):
    Journal(tmp_path).open(b"begun")

    assert list(dead_segments(tmp_path)) == []


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\0" * 100, []),
        (b"one\ntwo\n" + b"\0" * 100, [b"one", b"two"]),
        (b"one\ntw" + b"\0" * 100, [b"one"]),
        (b"one\n\ntwo\n", [b"one", b"two"]),
    ],
)
def test_only_whole_lines_are_read(tmp_path, content, lines):
    leave_segment(tmp_path, content)

    [segment] = dead_segments(tmp_path)
    assert list(segment.lines()) == lines
    segment.keep()


def test_without_a_folder_nothing_is_found(tmp_path):
    assert list(dead_segments(tmp_path / "none")) == []


def test_what_cannot_be_opened_does_not_hide_the_others(tmp_path, caplog):
    (tmp_path / "0-folder.jsonl").mkdir()
    (tmp_path / "0-gone.jsonl").symlink_to(tmp_path / "nowhere")
    path = leave_segment(tmp_path, b"one\n")

    [segment] = dead_segments(tmp_path)

    assert segment.path == path
    segment.keep()
    [record] = caplog.records
    assert record.message == "a segment of the journal cannot be opened; its entries are not booked"


REPLAYING_CHILD = """
import sys
from pathlib import Path
from accounting.journal import dead_segments
print("begun", flush=True)
while True:
    for segment in dead_segments(Path(sys.argv[1])):
        segment.remove()
"""


def test_a_new_segment_is_never_one_that_a_replay_has_just_deleted(tmp_path):
    """Between making and locking a file, another process may take it for a dead one."""
    process = child(REPLAYING_CHILD, str(tmp_path))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        for _ in range(1000):
            journal = Journal(tmp_path, segment_bytes=SMALL)
            segment = journal.open(b"begun")
            assert segment.path.exists()
            journal.close(segment, b"over")
            journal.forget(segment, 1)
            journal.shut()
    finally:
        process.kill()
        process.communicate()
