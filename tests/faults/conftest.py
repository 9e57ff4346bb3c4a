"""One failing upstream and one installation for all faults: gateways are started on copies of it."""

from collections.abc import Iterator

import pytest

from tests.faults.certificates import Authority
from tests.faults.ground import Installed, configuration, provider_tree
from tests.faults.upstream import SECRET, FailingUpstream, in_a_thread
from tests.processes import GatewayProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them start processes, and take their time."""
    for item in items:
        if "tests/faults/" in str(item.path):
            item.add_marker(pytest.mark.processes)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("faults")
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    upstream = FailingUpstream()
    others = {
        "tls-sound": FailingUpstream(tls=authority.context()),
        "tls-expired": FailingUpstream(tls=authority.context(days_left=-1)),
        "tls-of-another-host": FailingUpstream(tls=authority.context(host="other.example")),
        "tls-self-signed": FailingUpstream(tls=authority.context(is_signed=False)),
    }
    for other in others.values():
        other.requests = upstream.requests  # one list of what was asked, wherever
    with in_a_thread(upstream, *others.values()):
        trees = {
            slug: provider_tree("openrouter", other.url, ca_bundle_pem=authority.pem)
            for slug, other in others.items()
        }
        plain = upstream.url.replace("http:", "https:")
        trees["tls-with-none"] = provider_tree("openrouter", plain)
        tree = configuration(upstream, **trees)
        key = GatewayProcess(folder).set_up_as(tree, UPSTREAM_SECRET=SECRET)
        yield Installed(folder, key, upstream)
