"""Requests, case by case: a folder says what the client sends and what must reach the upstream."""

from pathlib import Path

import orjson
import pytest

import conversion.errors
from conversion.anthropic_over_openai.request import write_request
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.traits import ChatTraits

CASES = Path(__file__).parent.parent / "cases" / "anthropic_over_openai"
OPENROUTER = {
    "model": "anthropic/claude-model",
    "reasoning": "openrouter",
    "efforts": ("minimal", "low", "medium", "high", "xhigh", "max"),
    "reasoning_replay": "details",
    "cache_control": True,
    "top_k": True,
    "pdf_files": True,
    "web_search_plugin": True,
    "user_field": "user",
}
BASES = {"plain": {"model": "acme/large"}, "openrouter_claude": OPENROUTER}
FOLDERS = sorted(path.parent for path in CASES.glob("request_*/client_request.json"))


def read(folder: Path, name: str, missing):
    path = folder / name
    return orjson.loads(path.read_bytes()) if path.exists() else missing


def traits_of(folder: Path) -> ChatTraits:
    given = read(folder, "traits.json", {})
    base = BASES[given.pop("base", "plain")]
    if "efforts" in given:
        given["efforts"] = tuple(given["efforts"])
    return ChatTraits(**{**base, **given})


def written(folder: Path):
    call = read_call(Dialect.ANTHROPIC_MESSAGES, (folder / "client_request.json").read_bytes())
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
        return
    request = written(folder)
    expected = read(folder, "upstream_request.json", None)
    if expected is not None:
        assert orjson.loads(request.body) == expected
    notes = sorted([note.kind, note.path] for note in request.report.notes)
    assert notes == sorted(read(folder, "report.json", []))


def test_names_that_were_changed_can_be_changed_back():
    request = written(CASES / "request_tool_names_aliased")

    assert sorted(request.tool_names.values()) == ["mcp__server__" + "x" * 60, "my.tool"]
    assert all(len(name) <= 64 for name in request.tool_names)


def test_no_two_tools_get_the_same_name():
    for case in ("request_tool_name_like_an_alias", "request_tool_name_like_an_alias_before"):
        request = written(CASES / case)
        names = [tool["function"]["name"] for tool in orjson.loads(request.body)["tools"]]

        assert [request.tool_names.get(name, name) for name in names] == [
            tool["name"] for tool in read(CASES / case, "client_request.json", {})["tools"]
        ]


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_a_client_tool_of_anthropics_becomes_a_function_with_its_schema(kind):
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": kind, "name": "tool", "cache_control": {"type": "ephemeral"}}],
    }
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    [tool] = orjson.loads(write_request(call, ChatTraits(model="m")).body)["tools"]

    assert tool["function"]["name"] == "tool"
    assert "command" in tool["function"]["parameters"]["properties"]
    assert tool["function"]["description"]


def test_hidden_thinking_and_stop_sequences_are_handed_on_to_the_answer():
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "x" * 400}],
        "stop_sequences": ["END"],
        "thinking": {"type": "adaptive", "display": "omitted"},
    }
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))
    request = write_request(call, ChatTraits(model="m"))

    assert request.omit_thinking_text is True
    assert request.stop_sequences == ("END",)
    assert 100 <= request.prompt_tokens_estimate <= 150  # 400 characters of text and a few of JSON


def test_base64_counts_for_nothing_in_the_estimate():
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "A" * 40000},
    }
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [image]}]}
    call = read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps(body))

    assert write_request(call, ChatTraits(model="m")).prompt_tokens_estimate < 100
