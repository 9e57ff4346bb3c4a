"""What requests are read from and written to is described, field by field, with its source."""

import ast
from pathlib import Path
from typing import get_type_hints, is_typeddict

import orjson
import pytest

from conversion import anthropic_over_openai
from conversion.wire import anthropic_messages, openai_chat

FOLDER = Path(anthropic_over_openai.__file__).parent
TESTS = Path(__file__).parents[2]
CASES = TESTS / "conversion" / "cases" / "anthropic_over_openai"
READERS = ("parts", "reading", "request", "thinking", "tools", "turns")
WRITTEN = {"tool_calls", "reasoning_details", "reasoning_content"}  # looked up in what was written
FREE = {"input", "input_schema", "input_examples", "parameters", "schema", "citations", "caller", "user_location", "tool",
        "context_management", "mcp_servers", "container", "reasoning_details", "extra_content", "transformations"}  # fmt: skip


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


def recorded():
    for path in sorted((TESTS / "fixtures").glob("*/*.json")):
        if path.parent.name not in {"claude-code", "anthropic-sdk"}:
            continue
        for number, request in enumerate(orjson.loads(path.read_bytes())["requests"]):
            if request["path"].endswith("/v1/messages"):
                yield pytest.param(request["body"], id=f"{path.stem}-{number}")


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

    assert read - WRITTEN <= described(anthropic_messages)


@pytest.mark.parametrize("body", list(recorded()))
def test_every_member_that_real_clients_send_is_described(body):
    assert members(body) <= described(anthropic_messages)


@pytest.mark.parametrize("folder", sorted(CASES.glob("request_*")), ids=lambda path: path.name)
def test_every_member_that_is_written_is_described(folder):
    path = folder / "upstream_request.json"
    if not path.exists() or folder.name == "request_parameters_of_the_deployment":
        return
    assert members(orjson.loads(path.read_bytes())) <= described(openai_chat)
