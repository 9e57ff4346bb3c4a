"""What shares something costly runs in one worker, and what takes longest begins first."""

import subprocess
import sys

import pytest

from tests import shares
from tests.processes import ROOT

NOTE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(n, worker_id):
    with Path({log!r}).open("a") as log:
        log.write(f"{name} {{worker_id}}\\n")
"""
FILES = ("tests/test_one.py", "tests/test_two.py", "tests/browser/test_a.py", "tests/browser/test_b.py",
         "tests/faults/test_c.py", "tests/faults/test_d.py")  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> list[tuple[str, str]]:
    """Files and workers, in the order in which two workers ran the tests of a small suite."""
    folder = tmp_path_factory.mktemp("suite")
    log = folder / "log"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(NOTE.format(log=str(log), name=name))
    (folder / "conftest.py").write_text(
        "from tests.shares import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler"
    )
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    words = ("-m", "pytest", "-q", "-n", "2", "-p", "no:django", "-p", "no:cacheprovider", "tests")
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=100,
        stdout=subprocess.DEVNULL,
    )
    return [tuple(line.split()) for line in log.read_text().splitlines()]


def workers_of(ran: list[tuple[str, str]], begin: str) -> set[str]:
    return {worker for name, worker in ran if name.startswith(begin)}


def test_what_shares_something_costly_runs_in_one_worker(ran):
    assert len(ran) == 4 * len(FILES)
    for begin in ("tests/faults/", "tests/browser/", "tests/test_one", "tests/test_two"):
        assert len(workers_of(ran, begin)) == 1


def test_what_takes_longest_begins_first_and_beside_each_other(ran):
    assert workers_of(ran, "tests/faults/") != workers_of(ran, "tests/browser/")
    for begin in ("tests/faults/", "tests/browser/"):
        (worker,) = workers_of(ran, begin)
        names = [name for name, where in ran if where == worker]
        assert names[0].startswith(begin)


def test_the_lists_name_only_what_there_is():
    for begin in shares.TOGETHER:
        assert (ROOT / begin).exists()
    for name in shares.LONGEST:
        assert name in shares.TOGETHER.values() or (ROOT / name).is_file()
