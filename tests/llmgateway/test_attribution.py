"""Tests of llmgateway/attribution.py: what clients say of where a request comes from."""

import json

import pytest

from accounting import snapshot
from accounting.snapshot import KeyPicture, KeyRing
from conversion.call import Call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from llmgateway.attribution import origin_of
from llmgateway.exchange import ClientRequest

KEY = KeyPicture(
    1, "laptop", "alder", "web", enabled=True, expires_at=None, allowed=(), member="ada"
)


@pytest.fixture(autouse=True)
def _projects():
    held = snapshot.current()
    snapshot.put_in_force(
        KeyRing(1, {}, {}, projects={"alder": frozenset({"web", "app"}), "birch": frozenset({"x"})})
    )
    yield
    snapshot.put_in_force(held)


def origin(headers=None, **body):
    ask = ClientRequest("req_1", Dialect.OPENAI_CHAT, b"", headers or {}, ())
    return origin_of(ask, Call(Dialect.OPENAI_CHAT, b"", body, "m", stream=False), KEY)


def test_the_keys_project_is_booked_where_no_header_names_one():
    assert origin() == ("web", "", "", "", "")


def test_headers_name_project_agent_session_and_tags():
    headers = {
        "x-llmgateway-project": "app",
        "x-llmgateway-agent": "reviewer",
        "x-claude-code-session-id": "s-1",
        "x-llmgateway-tags": "nightly, team=a,nightly,,b c",
    }
    assert origin(headers) == ("app", "s-1", "reviewer", "", ",b c,nightly,team=a,")


@pytest.mark.parametrize("project", ["x", "wbe"])
def test_a_project_of_nobody_or_of_another_team_is_refused_alike(project):
    with pytest.raises(RequestInvalid, match=r"has no project '\w+' \(it has: app, web\)"):
        origin({"x-llmgateway-project": project})


@pytest.mark.parametrize("tags", ["a<b", "x" * 65, ",".join(map(str, range(11)))])
def test_what_is_no_tag_is_refused(tags):
    with pytest.raises(RequestInvalid, match="tag"):
        origin({"x-llmgateway-tags": tags})


def test_claude_codes_json_names_account_and_session():
    told = {"device_id": "d1", "account_uuid": "a1", "session_id": "s1"}
    found = origin(metadata={"user_id": json.dumps(told)})
    assert (found.end_user, found.session) == ("a1", "s1")


def test_claude_codes_device_stands_for_an_account_that_is_not_known():
    told = {"device_id": "d1", "account_uuid": "", "session_id": "s1"}
    found = origin(metadata={"user_id": json.dumps(told)})
    assert (found.end_user, found.session) == ("d1", "s1")


def test_claude_codes_older_words_are_read_too():
    told = f"user_{'0' * 64}_account_11111111-0000-4000-8000-000000000000_session_22222222-0000"
    found = origin(metadata={"user_id": told})
    assert found.end_user == "11111111-0000-4000-8000-000000000000"
    assert found.session == "22222222-0000"


def test_the_session_header_wins_over_the_body():
    found = origin(
        {"x-claude-code-session-id": "s-1"}, metadata={"user_id": '{"session_id": "s-2"}'}
    )
    assert found.session == "s-1"


@pytest.mark.parametrize("body", [{"user": "u-7"}, {"safety_identifier": "u-7", "user": "u-8"}])
def test_openai_clients_name_the_person(body):
    assert origin(**body).end_user == "u-7"


@pytest.mark.parametrize("name", ["ada@example.com", "x" * 300])
def test_addresses_and_long_names_are_kept_as_a_digest(name):
    told = origin(user=name).end_user
    assert told.startswith("sha256:")
    assert name not in told
    assert told == origin(user=name).end_user


@pytest.mark.parametrize("told", ["{broken", "[]", "{}", '{"account_uuid": 7}', 7, None, ["a"]])
def test_whatever_stands_there_is_no_fault(told):
    origin(metadata={"user_id": told})
    origin(user=told)
