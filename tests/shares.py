"""How tests are shared out among workers: what is made at great cost is made in one of them, and the longest begins first.

A worker is given whole files, so that what the tests of a file share is made once; and whole folders, where files share
it. pytest-xdist's own groups (the mark xdist_group) are not used: with pytest 9.2 they part in silence
(pytest-dev/pytest-xdist#1386).
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

LITELLM = "importing LiteLLM costs seconds"
TOGETHER = {
    "tests/faults/": "faults",  # one upstream and one installation, and they measure
    "tests/browser/": "browser",  # one company and one browser
    "tests/many/": "many",  # two gateways on each database
    "tests/llmgateway/test_litellm_sdk.py": LITELLM,
    "tests/routing/test_litellm_claude.py": LITELLM,
    "tests/routing/test_litellm_sdk.py": LITELLM,
}
LONGEST = (
    "browser",
    "faults",
    "tests/llmgateway/api/test_schemathesis.py",
    "tests/llmgateway/test_page_speed.py",
    "tests/llmgateway/test_processes.py",
    "many",
    "tests/test_postgres.py",
    "tests/clients/test_litellm_proxy.py",
    "tests/clients/test_claude_code.py",
    "tests/routing/test_admin_pages.py",
    "tests/test_speed.py",
)
"""Shares that take longer than others with as many tests, the longest first: else one of them may begin when all others
are done."""


def share_of(path: str) -> str:
    """The name of what is run together with the tests of a file."""
    return next((name for begin, name in TOGETHER.items() if path.startswith(begin)), path)


def place_in_line(share: str) -> int:
    """By which shares are given out; those with the same are by their number of tests."""
    return LONGEST.index(share) if share in LONGEST else len(LONGEST)


class Shares(LoadScopeScheduling):
    """Gives out shares, the longest first."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=place_in_line), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares | None:
    """For ``-n`` alone; who names a ``--dist`` gets it."""
    return Shares(config, log) if config.getvalue("dist") == "load" else None
