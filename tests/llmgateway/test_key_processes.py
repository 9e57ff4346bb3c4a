"""Keys in several processes on one database: revoked, rotated and expired ones are refused everywhere within a second."""

import contextlib
import time
from collections.abc import Callable

import httpx
import pytest

from tests.processes import GatewayProcess, gateway_process

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

WITHIN_S = 1.0
ASK = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}


def ask(gateway: GatewayProcess, key: str) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/v1/messages", json=ASK, headers={"x-api-key": key}, timeout=10
    )


def wait_for(gateways: list[GatewayProcess], is_so: Callable[[GatewayProcess], bool]) -> float:
    """Seconds until it is so in all of them."""
    began = time.monotonic()
    while not all(is_so(gateway) for gateway in gateways):
        assert time.monotonic() - began < 10, "it never came to be so"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture
def pair(tmp_path):
    """Two gateways as two workers would be: processes of their own, one database."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(gateway_process(tmp_path / "one"))
        first.manage("first_run")
        database = f"sqlite:///{first.data_dir / 'gateway.sqlite3'}"
        second = stack.enter_context(gateway_process(tmp_path / "two", DATABASE_URL=database))
        for gateway in (first, second):
            gateway.start()
        yield [first, second]


def test_a_key_is_refused_in_every_process_within_a_second_of_its_revocation(pair):
    command, *_others = pair
    key = command.manage("create_key", "--team", "demo", "--name", "laptop").strip()
    wait_for(pair, lambda gateway: ask(gateway, key).status_code == 200)

    command.manage("revoke_key", "--team", "demo", "--name", "laptop")
    # The command's process ends after its commit: what is measured here begins later than that, by less than its end takes.
    took_s = wait_for(pair, lambda gateway: ask(gateway, key).status_code == 401)

    assert took_s < WITHIN_S
    for gateway in pair:
        answer = ask(gateway, key)
        assert answer.status_code == 401
        error = answer.json()["error"]
        assert error["type"] == "authentication_error"
        assert "The API key 'laptop' was revoked on" in error["message"]
        assert key not in answer.text


def test_a_rotated_key_is_accepted_in_every_process_until_its_overlap_ends(pair):
    command, *_others = pair
    old = command.manage("create_key", "--team", "demo", "--name", "laptop").strip()

    new = command.manage("rotate_key", "--team", "demo", "--name", "laptop").strip()

    took_s = wait_for(pair, lambda gateway: ask(gateway, new).status_code == 200)
    assert took_s < WITHIN_S
    assert [ask(gateway, old).status_code for gateway in pair] == [200, 200]

    newest = command.manage(
        "rotate_key", "--team", "demo", "--name", "laptop", "--overlap", "0m"
    ).strip()
    took_s = wait_for(pair, lambda gateway: ask(gateway, new).status_code == 401)
    assert took_s < WITHIN_S
    for gateway in pair:
        assert "It was rotated: use the key that replaced it" in ask(gateway, new).text
        assert ask(gateway, newest).status_code == 200
