"""manage.py explain: what it prints, and what it says when it cannot."""

import io
import sys
from datetime import UTC, datetime

import orjson
import pytest
from django.core.management import CommandError, call_command

from accounting import snapshot as keys_snapshot
from accounting.request_logs import Capture
from tests.factories.accounting import make_key, make_request_log, make_team, make_usage
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db
BODY = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def alias(nothing_in_force):
    return make_alias("sonnet", make_deployment(make_provider()))


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "request.json"
    path.write_bytes(orjson.dumps(BODY))
    return str(path)


def run(capsys, **options: object) -> str:
    call_command("explain", **options)
    return capsys.readouterr().out


def run_json(capsys, **options: object) -> dict:
    return orjson.loads(run(capsys, json=True, **options))


def test_a_file_is_explained_in_words(capsys, body):
    text = run(capsys, file=body, header=["X-Env: prod"])

    assert "1. Nobody in particular asks" in text
    assert "POST https://openrouter.ai/api/v1/chat/completions" in text
    assert "Authorization: [masked]" in text
    assert "known to serving processes only" in text
    assert SECRET not in text


def test_standard_input_is_explained_in_json_for_a_key(capsys, monkeypatch):
    make_key(make_team("alder"), "laptop")
    chat = {"model": "sonnet", "messages": BODY["messages"]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(orjson.dumps(chat).decode()))
    told = run_json(capsys, file="-", dialect="openai_chat", team="alder", key="laptop")

    assert told["caller"] == "API key laptop of team alder"
    assert told["targets"][0]["estimate"]["source"] == "unpriced"
    assert orjson.loads(told["targets"][0]["request"]["body"])["messages"] == BODY["messages"]


def test_amounts_are_exact_in_json(capsys, body):
    keys_snapshot.models.Price.objects.create(
        provider="openrouter",
        upstream_model="anthropic/claude-sonnet-4.5",
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        prompt_usd_per_mtok="0.1",
        completion_usd_per_mtok=0,
    )
    estimate = run_json(capsys, file=body)["targets"][0]["estimate"]

    assert estimate["prompt_tokens"] == 8
    assert float(estimate["cost_usd"]) == 0.0000008
    assert "$0.000001 with an answer of 9 tokens" in run(capsys, file=body)


def test_a_team_may_ask_without_a_key(capsys, body):
    make_team("alder")

    assert run_json(capsys, file=body, team="alder")["caller"] == "Team alder"


def test_a_record_is_explained_as_far_as_it_is_known(capsys):
    key = make_key(make_team("alder"), "laptop")
    record = make_usage(
        alias="sonnet",
        key_id=key.row.pk,
        session="s-1",
        agent="a-1",
        error="UpstreamBroken",
        status="failed",
    )
    told = run_json(capsys, record=record.pk)

    assert told["caller"] == "API key laptop of team alder"
    assert (
        "went to openrouter: anthropic/claude-sonnet-4.5 and failed (UpstreamBroken)"
        in told["remarks"][0]
    )
    assert "keeps no body" in told["remarks"][1]
    assert orjson.loads(told["targets"][0]["request"]["body"])["stream"] is True


def test_a_records_logged_body_is_used_as_it_is_masked(capsys):
    record = make_usage(alias="sonnet", streamed=False)
    kept = Capture(1000)
    kept.add(orjson.dumps({**BODY, "system": "my key is sk-ant-api03-planted0123456789"}))
    headers = {
        "client_request": [
            ("x-claude-code-session-id", "s-1"),
            ("host", "here"),
            ("x-api-key", "gw-x"),
        ]
    }
    make_request_log(id=record.pk, headers=headers, bodies={"client_request": kept})
    told = run_json(capsys, record=record.pk)

    assert "the one that was logged" in told["remarks"][2]
    assert "my key is [masked]" in told["targets"][0]["request"]["body"]
    assert "what the record says of it is taken" in told["remarks"][1]


@pytest.mark.parametrize("kept", [b'{"model": "sonnet", "messages": [', b"x" * 50])
def test_a_logged_body_that_was_cut_is_not_used(capsys, kept):
    record = make_usage(alias="sonnet")
    capture = Capture(1000)
    capture.add(kept)
    make_request_log(id=record.pk, bodies={"client_request": capture}, bytes_max=40)
    told = run_json(capsys, record=record.pk)

    assert "keeps no body" in told["remarks"][2]


@pytest.mark.parametrize("dialect", ["openai_completions", "openai_embeddings", "openai_chat"])
def test_records_of_every_dialect_are_explained(capsys, dialect):
    record = make_usage(alias="sonnet", client_dialect=dialect, streamed=False)

    assert run_json(capsys, record=record.pk)["refusal"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Say what to explain"),
        ({"file": "x", "record": "y"}, "Say what to explain"),
        ({"record": "nothing"}, "no usage record 'nothing'"),
        ({"file": "/no/such/file"}, "cannot be read"),
        ({"file": "body", "key": "laptop"}, "Say whose key"),
        ({"file": "body", "team": "alder", "key": "laptop"}, "has no API key 'laptop'"),
        ({"file": "body", "team": "oak"}, "no team 'oak'"),
        ({"file": "body", "header": ["nonsense"]}, "write a name, a colon"),
        ({"file": "body", "header": ["X-A: a\x00b"]}, "printable"),
    ],
)
def test_what_cannot_be_explained_is_told_in_a_line(capsys, body, options, said):
    named = {name: body if value == "body" else value for name, value in options.items()}
    with pytest.raises(CommandError, match=said):
        run(capsys, **named)
