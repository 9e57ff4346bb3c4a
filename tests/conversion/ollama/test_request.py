"""Chat completions requests as Ollama's own."""

import orjson
import pytest

from conversion.errors import RequestInexpressible, RequestInvalid
from conversion.ollama.request import write_request
from conversion.report import Report

PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def write(**fields):
    chat = {"model": "qwen3", "messages": [{"role": "user", "content": "Hi"}], **fields}
    report = Report()
    return orjson.loads(write_request(chat, report)), report


def written_messages(*messages):
    return write(messages=list(messages))[0]["messages"]


def test_settings_become_options():
    body, report = write(
        temperature=0.2, top_p=0.9, seed=7, max_tokens=50, stop="END", stream=True, keep_alive="5m"
    )

    assert body == {
        "model": "qwen3",
        "keep_alive": "5m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "options": {
            "temperature": 0.2,
            "top_p": 0.9,
            "seed": 7,
            "num_predict": 50,
            "stop": ["END"],
        },
    }
    assert report.notes == []


def test_options_of_the_deployment_win():
    body, _report = write(
        max_tokens=50, stop=["a", "b"], options={"num_ctx": 65536, "num_predict": 9}
    )

    assert body["options"] == {"num_predict": 9, "stop": ["a", "b"], "num_ctx": 65536}


def test_options_that_are_none_are_left_out():
    assert "options" not in write(options="none")[0]


def test_a_tool_result_names_its_tool_instead_of_its_call():
    call = {"id": "c1", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
    messages = written_messages(
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hmm."},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "unheard-of", "content": "?"},
        {"role": "function", "name": "weather", "content": "rain"},
    )

    assert messages[1] == {
        "role": "assistant",
        "content": "",
        "thinking": "Hmm.",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Ulm"}}}],
    }
    assert messages[2:] == [
        {"role": "tool", "content": "sunny", "tool_name": "weather"},
        {"role": "tool", "content": "?"},
        {"role": "tool", "content": "rain", "tool_name": "weather"},
    ]


@pytest.mark.parametrize(
    ("arguments", "read"), [("", {}), (None, {}), ({"a": 1}, {"a": 1}), ("{}", {})]
)
def test_arguments_are_an_object(arguments, read):
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}

    (message,) = written_messages({"role": "assistant", "tool_calls": [call]})

    assert message["tool_calls"][0]["function"]["arguments"] == read


def test_parts_are_one_text_with_the_images_beside_it():
    (message,) = written_messages(
        {
            "role": "developer",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": PNG},
            ],
        }
    )

    assert message == {
        "role": "system",
        "content": "Look:\n\nWhat is it?",
        "images": ["iVBORw0KGgo=", "iVBORw0KGgo="],
    }


@pytest.mark.parametrize(
    ("wanted", "format_"),
    [
        ({"type": "json_object"}, "json"),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            {"type": "object"},
        ),
        ({"type": "json_schema", "json_schema": "odd"}, "json"),
        ({"type": "json_schema", "json_schema": {}}, "json"),
        ({"type": "text"}, None),
        ("text", None),
    ],
)
def test_wanted_formats(wanted, format_):
    assert write(response_format=wanted)[0].get("format") == format_


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("high", "high"), ("max", "max"), (1, 1)]
)
def test_effort_is_how_much_it_thinks(effort, think):
    body, report = write(reasoning_effort=effort)

    assert body["think"] == think
    assert report.notes == []


@pytest.mark.parametrize(("effort", "think"), [("minimal", "low"), ("xhigh", "high")])
def test_an_effort_it_does_not_know_is_the_next_one(effort, think):
    body, report = write(reasoning_effort=effort)

    assert body["think"] == think
    assert [note.path for note in report.notes] == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("choice", "offered", "noted"),
    [
        (None, True, []),
        ("auto", True, []),
        ("required", True, ["tool_choice"]),
        ("none", False, []),
    ],
)
def test_a_choice_of_tools_cannot_be_forced(choice, offered, noted):
    body, report = write(tools=[WEATHER], tool_choice=choice)

    assert ("tools" in body) is offered
    assert report.dropped_paths == noted


def test_a_choice_without_tools_sends_none():
    assert "tools" not in write(tool_choice="auto", tools=[])[0]


def test_what_has_no_place_is_noted():
    body, report = write(logit_bias={"1": 2}, user="me", parallel_tool_calls=None, n=1)

    assert set(body) == {"model", "messages", "stream"}
    assert report.dropped_paths == ["logit_bias", "user"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"n": 2}, "n"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [{"role": "user", "content": ["odd"]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages[0].content[0]",
        ),
    ],
)
def test_what_it_takes_in_no_form_is_refused(fields, path):
    with pytest.raises(RequestInexpressible) as refused:
        write(**fields)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/cat.png",
        "data:image/gif;base64,R0lG",
        "data:image/png,plain",
        "data:image/png;base64",
    ],
)
def test_images_it_cannot_read_are_refused(url):
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(RequestInexpressible):
        write(messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    "messages",
    [
        "Hi",
        ["Hi"],
        [{"content": "Hi"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}],
        [{"role": "assistant", "tool_calls": ["odd"]}],
        [{"role": "assistant", "tool_calls": [{"function": {}}]}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}],
    ],
)
def test_what_breaks_the_dialect_is_said(messages):
    with pytest.raises(RequestInvalid):
        write(messages=messages)


def test_calls_that_are_no_list_are_none():
    assert written_messages({"role": "assistant", "content": "Hi", "tool_calls": "odd"}) == [
        {"role": "assistant", "content": "Hi"}
    ]
