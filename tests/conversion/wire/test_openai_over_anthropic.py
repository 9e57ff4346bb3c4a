"""What this pair reads and writes is described, field by field, with its source."""

import ast
from pathlib import Path
from typing import get_type_hints, is_typeddict

import orjson
import pytest

from conversion import openai_over_anthropic
from conversion.wire import anthropic_messages, openai_client_request, openai_completion
from tests.conversion.chat_rules import read_chunks

CASES = Path(__file__).parents[1] / "cases" / "openai_over_anthropic"
FOLDER = Path(openai_over_anthropic.__file__).parent
READERS = ("formats", "limits", "parts", "request", "thinking", "thoughts", "tools", "turns")
FREE = {"input", "input_schema", "schema"}


def described(module) -> set[str]:
    shapes = [shape for shape in vars(module).values() if is_typeddict(shape)]
    return {name for shape in shapes for name in get_type_hints(shape)}


def members(value) -> set[str]:
    """The names of all members, down to what anybody may put anything into."""
    if isinstance(value, list):
        return {name for item in value for name in members(item)}
    if isinstance(value, dict):
        below = (members(item) for name, item in value.items() if name not in FREE)
        return set(value).union(*below)
    return set()


def folders(name: str) -> list[Path]:
    return sorted(path.parent for path in CASES.glob(f"*/{name}"))


@pytest.mark.parametrize("module", READERS)
def test_every_member_that_is_read_of_a_request_is_described(module):
    read = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        place = {"get": 0, "need_text": 1}.get(called)
        if place is not None and isinstance(node.args[place], ast.Constant):
            read.add(node.args[place].value)

    assert read <= described(openai_client_request)


@pytest.mark.parametrize("folder", folders("upstream_request.json"), ids=lambda path: path.name)
def test_every_member_of_a_request_is_described(folder):
    if folder.name != "request_parameters_of_the_deployment":
        request = orjson.loads((folder / "upstream_request.json").read_bytes())
        assert members(request) <= described(anthropic_messages)


@pytest.mark.parametrize("folder", folders("client.json"), ids=lambda path: path.name)
def test_every_member_of_a_completion_is_described(folder):
    completion = orjson.loads((folder / "client.json").read_bytes())
    assert members(completion) <= described(openai_completion)


@pytest.mark.parametrize("folder", folders("client.sse"), ids=lambda path: path.name)
def test_every_member_of_a_chunk_is_described(folder):
    chunks, _ = read_chunks((folder / "client.sse").read_bytes())
    assert members(chunks) <= described(openai_completion)
