"""Keys in several processes on one database: revoked, rotated and expired ones are refused everywhere within a second."""

import contextlib
import time
from collections.abc import Callable

import httpx
import pytest

from tests.processes import GatewayProcess, gateway_process
from tests.waiting import PATIENCE_S, TRIES

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("processes"),
]

WITHIN_S = 1.0
"""What is promised. The shortest of several times counts: what others do on the machine only adds."""
ASK = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}


def ask(gateway: GatewayProcess, key: str) -> httpx.Response:
    return httpx.post(
        f"{gateway.url}/v1/messages",
        json=ASK,
        headers={"x-api-key": key},
        timeout=PATIENCE_S,
        verify=False,
    )


def wait_for(gateways: list[GatewayProcess], is_so: Callable[[GatewayProcess], bool]) -> float:
    """Seconds until it is so in all of them."""
    began = time.monotonic()
    while not all(is_so(gateway) for gateway in gateways):
        assert time.monotonic() - began < PATIENCE_S, "it never came to be so"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two gateways as two workers would be: processes of their own, one database."""
    folder = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(gateway_process(folder / "one"))
        first.manage("first_run")
        database = f"sqlite:///{first.data_dir / 'gateway.sqlite3'}"
        second = stack.enter_context(gateway_process(folder / "two", DATABASE_URL=database))
        for gateway in (first, second):
            gateway.start()
        yield [first, second]


def revoked(pair: list[GatewayProcess], name: str) -> tuple[str, float]:
    """A key that was in use and is revoked, and after how many seconds all processes refused it."""
    command, *_others = pair
    key = command.manage("create_key", "--team", "demo", "--name", name).strip()
    wait_for(pair, lambda gateway: ask(gateway, key).status_code == 200)
    command.manage("revoke_key", "--team", "demo", "--name", name)
    # The command's process ends after its commit: what is measured here begins later than that, by less than its end takes.
    return key, wait_for(pair, lambda gateway: ask(gateway, key).status_code == 401)


def test_a_key_is_refused_in_every_process_within_a_second_of_its_revocation(pair):
    for number in range(TRIES):
        key, took_s = revoked(pair, f"revoked-{number}")
        if took_s < WITHIN_S:
            break

    assert took_s < WITHIN_S
    for gateway in pair:
        answer = ask(gateway, key)
        assert answer.status_code == 401
        error = answer.json()["error"]
        assert error["type"] == "authentication_error"
        assert f"The API key 'revoked-{number}' was revoked on" in error["message"]
        assert key not in answer.text


def test_a_rotated_key_is_accepted_in_every_process_until_its_overlap_ends(pair):
    for number in range(TRIES):
        took_s = rotated(pair, f"rotated-{number}")
        if max(took_s) < WITHIN_S:
            break

    assert max(took_s) < WITHIN_S


def rotated(pair: list[GatewayProcess], name: str) -> tuple[float, float]:
    """Rotate a key twice: after how many seconds all processes took the new one, and refused it without an overlap."""
    command, *_others = pair
    named = ("--team", "demo", "--name", name)
    old = command.manage("create_key", *named).strip()

    new = command.manage("rotate_key", *named).strip()

    accepted_s = wait_for(pair, lambda gateway: ask(gateway, new).status_code == 200)
    assert [ask(gateway, old).status_code for gateway in pair] == [200, 200]

    newest = command.manage("rotate_key", *named, "--overlap", "0m").strip()
    refused_s = wait_for(pair, lambda gateway: ask(gateway, new).status_code == 401)
    for gateway in pair:
        assert "It was rotated: use the key that replaced it" in ask(gateway, new).text
        assert ask(gateway, newest).status_code == 200
    return accepted_s, refused_s
