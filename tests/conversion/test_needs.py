"""What a request needs, read from any dialect."""

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.needs import IMAGE_TOKENS, Needs, count_images, read_needs


def needs_of(content="Hi", dialect=Dialect.OPENAI_CHAT, **fields) -> Needs:
    body = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }
    return read_needs(read_call(dialect, orjson.dumps(body)))


def test_plain_text_needs_nothing_but_room():
    needs = needs_of("four" * 400)

    assert 400 <= needs.prompt_tokens < 450
    assert (needs.has_tools, needs.has_images, needs.wants_reasoning) == (False, False, False)


@pytest.mark.parametrize("fields", [{"tools": [{}]}, {"functions": [{}]}])
def test_tools(fields):
    assert needs_of(**fields).has_tools
    assert not needs_of(tools=[]).has_tools


DATA = "A" * 100_000


@pytest.mark.parametrize(
    ("part", "is_image"),
    [
        ({"type": "image", "source": {"type": "base64", "data": DATA}}, True),
        ({"type": "image_url", "image_url": {"url": DATA}}, True),
        (
            {
                "type": "tool_result",
                "content": [{"type": "image", "source": {"type": "base64", "data": DATA}}],
            },
            True,
        ),
        ({"type": "document", "source": {"type": "base64", "data": DATA}}, False),
        ({"type": "file", "file": {"file_data": DATA}}, False),
        ({"type": "input_audio", "input_audio": {"data": DATA}}, False),
    ],
)
def test_binary_data_is_no_text(part, is_image):
    needs = needs_of([part])

    assert needs.has_images is is_image
    assert needs.images == is_image
    assert needs.prompt_tokens < 200 + IMAGE_TOKENS


@pytest.mark.parametrize(
    ("fields", "wants"),
    [
        ({"thinking": {"type": "enabled"}}, True),
        ({"thinking": {"type": "disabled"}}, False),
        ({"reasoning": {"enabled": True}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning_effort": "high"}, True),
        ({"reasoning_effort": "none"}, False),
        ({}, False),
    ],
)
def test_reasoning(fields, wants):
    assert needs_of(**fields).wants_reasoning is wants


@pytest.mark.parametrize(
    "content",
    [5, ["odd"], [{"type": "image_url", "image_url": 5}], [{"type": "tool_result", "content": 5}]],
)
def test_what_has_no_sense_needs_nothing(content):
    assert needs_of(content).prompt_tokens >= 1
    assert read_needs(
        read_call(Dialect.OPENAI_CHAT, b'{"model": "m", "messages": ["odd"]}')
    ).prompt_tokens
    assert read_needs(
        read_call(Dialect.OPENAI_EMBEDDINGS, b'{"model": "m", "input": "x"}')
    ).prompt_tokens


def test_images_are_counted_wherever_they_stand():
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = {
        "messages": [
            {"role": "user", "content": [image, {"type": "text", "text": "Hi"}, image]},
            {"role": "user", "content": [{"type": "tool_result", "content": [image]}]},
            {"role": "user", "content": [linked, {"type": "input_image", "image_url": "x"}]},
            {"role": "user", "content": "an image in words"},
            "nothing",
        ]
    }

    assert count_images(body) == 5
    assert count_images({"prompt": "Hi"}) == 0
