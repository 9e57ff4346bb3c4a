"""Requests, case by case: a folder says what the client sends and what must reach the upstream."""

from pathlib import Path

import orjson
import pytest

import conversion.errors
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.openai_over_anthropic.request import write_request
from conversion.traits import MessagesTraits
from tests.conversion.messages_rules import check_request

CASES = Path(__file__).parent.parent / "cases" / "openai_over_anthropic"
BASES = {
    "budget": {"model": "claude-model", "max_output_tokens": 64000},
    "adaptive": {
        "model": "claude-model",
        "thinking": "adaptive",
        "efforts": ("low", "medium", "high", "xhigh", "max"),
        "sampling": False,
        "system_turns": True,
    },
}
FOLDERS = sorted(path.parent for path in CASES.glob("request_*/client_request.json"))


def read(folder: Path, name: str, missing):
    path = folder / name
    return orjson.loads(path.read_bytes()) if path.exists() else missing


def traits_of(folder: Path) -> MessagesTraits:
    given = read(folder, "traits.json", {})
    base = BASES[given.pop("base", "budget")]
    if "efforts" in given:
        given["efforts"] = tuple(given["efforts"])
    return MessagesTraits(**{**base, **given})


def written(folder: Path):
    call = read_call(Dialect.OPENAI_CHAT, (folder / "client_request.json").read_bytes())
    before = orjson.dumps(call.body)
    try:
        return write_request(call, traits_of(folder))
    finally:
        assert orjson.dumps(call.body) == before  # the next target translates it again


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_request_becomes_what_its_case_says(folder: Path):
    refusal = read(folder, "refusal.json", None)
    if refusal is not None:
        with pytest.raises(getattr(conversion.errors, refusal["error"])) as caught:
            written(folder)
        assert type(caught.value).__name__ == refusal["error"]
        assert caught.value.path == refusal["path"]
        assert refusal.get("told", "") in caught.value.message
        return
    request = written(folder)
    sent = orjson.loads(request.body)
    assert sent == read(folder, "upstream_request.json", None)
    if folder.name != "request_parameters_of_the_deployment":
        check_request(sent)
    notes = sorted([note.kind, note.path] for note in request.report.notes)
    assert notes == sorted(read(folder, "report.json", []))


def test_every_case_says_where_it_is_from():
    assert len(FOLDERS) > 100
    for folder in FOLDERS:
        assert (folder / "source.md").read_text().strip()


def test_names_that_were_changed_can_be_changed_back():
    request = written(CASES / "request_tool_names_aliased")

    assert sorted(request.tool_names.values()) == ["mcp__server__" + "x" * 60, "my.tool"]
    assert all(len(name) <= 64 for name in request.tool_names)


def test_base64_counts_for_nothing_in_the_estimate():
    for part in (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40000}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + "A" * 40000}},
    ):
        body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
        call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(body))

        assert write_request(call, MessagesTraits(model="m")).prompt_tokens_estimate < 100


def test_what_the_answer_depends_on_is_handed_on():
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x" * 400}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "functions": [{"name": "f"}],
    }
    call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(body))
    request = write_request(call, MessagesTraits(model="m"))

    assert request.include_usage is True
    assert request.function_call is True
    assert 100 <= request.prompt_tokens_estimate <= 150  # 400 characters of text and a few of JSON
