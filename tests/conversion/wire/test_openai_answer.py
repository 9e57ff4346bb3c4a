import ast
from pathlib import Path
from typing import get_type_hints, is_typeddict

import pytest

from conversion import anthropic_over_openai
from conversion.wire import openai_answer

FOLDER = Path(anthropic_over_openai.__file__).parent
READERS = (
    "contents",
    "counts",
    "facts",
    "finishes",
    "response",
    "stream",
    "thoughts",
    "tool_calls",
)
LITELLM = {
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_token_details",
    "ephemeral_1h_input_tokens",
}
PARTS = {"thinking"}


def described() -> set[str]:
    shapes = [shape for shape in vars(openai_answer).values() if is_typeddict(shape)]
    return {name for shape in shapes for name in get_type_hints(shape)}


@pytest.mark.parametrize("module", READERS)
def test_every_member_that_is_read_is_described_with_its_source(module):
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    read = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and isinstance(node.args[0], ast.Constant)
    }
    read -= {"output_tokens_details"}  # written, not read
    assert read <= described() | LITELLM | PARTS
