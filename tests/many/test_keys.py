"""Keys in two gateways on one database: revoked and rotated ones are refused in both within a second."""

import httpx
import pytest

from tests.many.conftest import Gateway, Two, wait_for
from tests.waiting import PATIENCE_S, TRIES

WITHIN_S = 1.0
"""What is promised. The shortest of several times counts: what others do on the machine only adds."""


@pytest.fixture(autouse=True)
def team(two: Two) -> None:
    two[0].run("from accounting.models import Team\nTeam.objects.get_or_create(slug='elm')")


def ask(gateway: Gateway, key: str) -> httpx.Response:
    """A request that asks no provider: as it answers, whoever else asks with this key is answered."""
    url, headers = f"{gateway.url}/v1/models", {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return httpx.get(url, headers=headers, timeout=PATIENCE_S)


def accepts(key: str, status: int = 200):
    """Whether a gateway answers a key so."""
    return lambda gateway: ask(gateway, key).status_code == status


def revoked(two: Two, name: str) -> tuple[str, float]:
    """A key that was in use and is revoked, and after how many seconds both refused it."""
    key = two[0].manage("create_key", "--team", "elm", "--name", name).strip()
    wait_for(two, accepts(key))
    two[1].manage("revoke_key", "--team", "elm", "--name", name)
    # The command's process ends after its commit: what is measured here begins later than that, by less than its end takes.
    return key, wait_for(two, accepts(key, 401))


def test_a_key_is_refused_in_both_within_a_second_of_its_revocation(two: Two):
    for number in range(TRIES):
        name = f"revoked-{number}"
        key, took_s = revoked(two, name)
        if took_s < WITHIN_S:
            break

    assert took_s < WITHIN_S
    for gateway in two:
        answer = ask(gateway, key)
        assert answer.status_code == 401
        error = answer.json()["error"]
        assert error["type"] == "authentication_error"
        assert f"The API key '{name}' was revoked on" in error["message"]
        assert key not in answer.text


def test_a_rotated_key_is_accepted_in_both_until_its_overlap_ends(two: Two):
    for number in range(TRIES):
        took_s = rotated(two, f"rotated-{number}")
        if max(took_s) < WITHIN_S:
            break

    assert max(took_s) < WITHIN_S


def rotated(two: Two, name: str) -> tuple[float, float]:
    """Rotate a key twice: after how many seconds both took the new one, and refused it without an overlap."""
    named = ("--team", "elm", "--name", name)
    old = two[0].manage("create_key", *named).strip()

    new = two[0].manage("rotate_key", *named).strip()

    accepted_s = wait_for(two, accepts(new))
    assert [ask(gateway, old).status_code for gateway in two] == [200, 200]

    newest = two[1].manage("rotate_key", *named, "--overlap", "0m").strip()
    refused_s = wait_for(two, accepts(new, 401))
    for gateway in two:
        assert "It was rotated: use the key that replaced it" in ask(gateway, new).text
        assert ask(gateway, newest).status_code == 200
    return accepted_s, refused_s
