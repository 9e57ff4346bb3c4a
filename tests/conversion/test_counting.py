"""The estimate of a prompt's length, against what Anthropic counted for recorded requests."""

import base64
import json
import re
import struct
from pathlib import Path

import pytest

from conversion.counting import IMAGE_UNKNOWN_TOKENS, count_prompt, image_size
from llmgateway.tokenizer import count_tokens

FIXTURES = Path(__file__).parent.parent / "fixtures"
RECORDED = sorted((FIXTURES / "recorded-streams").glob("anthropic-*.request.json"))


def words(text: str) -> int:
    return len(text.split())


def messages(*contents, **fields):
    turns = [{"role": "user", "content": content} for content in contents]
    return {"model": "claude", "messages": turns, **fields}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name.removesuffix(".request.json"))
def test_estimates_are_within_15_percent_of_what_anthropic_counted(path):
    body = json.loads(path.read_bytes())["body"]
    stream = path.with_name(path.name.replace(".request.json", ".sse")).read_text()
    told = int(re.search(r'"input_tokens":\s*(\d+)', stream)[1])

    assert count_prompt(body, is_claude=True, count=count_tokens) == pytest.approx(told, rel=0.15)


def test_there_are_recordings():
    assert len(RECORDED) >= 8


def test_other_models_pay_for_the_text_alone():
    body = messages("one two three", system="four five", thinking={"type": "enabled"})

    assert count_prompt(body, is_claude=False, count=words) == 5 + 4 + 3
    assert count_prompt(body, is_claude=True, count=words) > 5 + 4 + 3


def test_tools_cost_their_description_and_schema():
    tool = {"name": "weather", "description": "of a city", "input_schema": {"type": "object"}}
    one = count_prompt(messages("hi", tools=[tool]), is_claude=False, count=words)
    two = count_prompt(messages("hi", tools=[tool, tool]), is_claude=False, count=words)
    bare = count_prompt(messages("hi"), is_claude=False, count=words)

    assert one - bare == two - one > 0
    server_tool = messages("hi", tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert count_prompt(server_tool, is_claude=False, count=words) == bare
    assert count_prompt(server_tool, is_claude=True, count=words) > bare + 500


def test_tool_calls_and_results_cost_their_words():
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "a b c"}],
    }
    body = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    }

    # 1 + (id, name, input) + (id, a b c) words, 4 for a call and 4 for a result, 4 for each message, 3 for the prompt
    assert count_prompt(body, is_claude=False, count=words) == 1 + 3 + 4 + 8 + 12 + 3


def test_binary_data_is_not_read_as_text():
    source = {"type": "base64", "media_type": "application/pdf", "data": "A" * 200_000}
    document = {"type": "document", "source": source, "title": "report"}

    assert 2000 <= count_prompt(messages([document]), is_claude=False, count=len) < 10_000


def test_a_text_document_is_text():
    source = {"type": "text", "media_type": "text/plain", "data": "one two three"}
    inner = {"type": "content", "content": [{"type": "text", "text": "four five"}]}
    blocks = [{"type": "document", "source": source}, {"type": "document", "source": inner}]

    assert count_prompt(messages(blocks), is_claude=False, count=words) == 5 + 4 + 3


def encoded(head: bytes) -> str:
    return base64.b64encode(head + bytes(64)).decode()


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 300, 200)
GIF = b"GIF89a" + struct.pack("<HH", 30, 20)
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8X\n\x00\x00\x00\x00\x00\x00\x00" + bytes([99, 0, 0, 49, 0, 0])
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10" + bytes(14) + b"\xff\xc4\x00\x04\x00\x00"
    b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 20, 40)
)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (PNG, (300, 200)),
        (GIF, (30, 20)),
        (WEBP, (100, 50)),
        (JPEG, (40, 20)),
        (b"\xff\xd8\x00", None),
        (b"RIFF\x00\x00\x00\x00WEBPVP8L", None),
        (b"BM", None),
    ],
)
def test_an_image_tells_its_size(head, size):
    assert image_size(encoded(head)) == size


def test_what_is_no_base64_has_no_size():
    assert image_size("ÄÖÜ!") is None
    assert image_size("A") is None


def test_an_image_costs_its_pixels_up_to_a_limit():
    def cost(data):
        image = {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": data},
        }
        return count_prompt(messages([image]), is_claude=False, count=words) - 7

    assert cost(encoded(PNG)) == 300 * 200 // 750 + 6
    huge = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 9000, 9000)
    assert cost(encoded(huge)) == 1606
    assert cost("") == IMAGE_UNKNOWN_TOKENS


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": "odd", "tools": "odd", "system": 5, "thinking": "odd", "mcp_servers": 5},
        {"messages": ["odd", {"content": 5}, {"content": [5, {"type": "image", "source": "odd"}]}]},
    ],
)
def test_what_has_no_sense_costs_little(body):
    assert 0 < count_prompt(body, is_claude=True, count=words) < 2000
