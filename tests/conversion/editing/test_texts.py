"""Which texts of a body are edited, and which never are."""

import copy

import orjson
import pytest

from conversion.dialects import Dialect
from conversion.editing.texts import edit_answer_texts, edit_request_texts
from tests.conversion.editing.patterns import replacing
from tests.conversion.recordings import FOLDER

EDIT = replacing("SECRET", "[key]")
MESSAGES = Dialect.ANTHROPIC_MESSAGES
CHAT = Dialect.OPENAI_CHAT
COMPLETIONS = Dialect.OPENAI_COMPLETIONS
EMBEDDINGS = Dialect.OPENAI_EMBEDDINGS


def turn(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def tool_call(arguments):
    return {"id": "SECRET", "type": "function", "function": {"name": "SECRET", "arguments": arguments}}  # fmt: skip


EDITED = [
    (MESSAGES, {"system": "a SECRET"}),
    (MESSAGES, {"system": [{"type": "text", "text": "SECRET", "cache_control": {"type": "ephemeral"}}]}),
    (MESSAGES, {"messages": [{"role": "user", "content": "SECRET and SECRET"}]}),
    (MESSAGES, turn({"type": "text", "text": "SECRET"}, {"type": "text", "text": "other"})),
    (MESSAGES, turn({"type": "tool_result", "tool_use_id": "t", "content": "SECRET"})),
    (MESSAGES, turn({"type": "tool_result", "content": [{"type": "text", "text": "SECRET"}]})),
    (MESSAGES, turn({"type": "tool_use", "id": "t", "name": "n", "input": {"a": {"b": ["SECRET", 1, None]}, "c": "SECRET"}})),
    (MESSAGES, turn({"type": "document", "context": "SECRET", "source": {"type": "text", "data": "SECRET"}})),
    (MESSAGES, turn({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "SECRET"}]}})),
    (MESSAGES, turn({"type": "document", "source": {"type": "content", "content": "SECRET"}})),
    (MESSAGES, turn({"type": "search_result", "content": [{"type": "text", "text": "SECRET"}]})),
    (CHAT, {"messages": [{"role": "system", "content": "SECRET"}, {"role": "user", "content": "other"}]}),
    (CHAT, turn({"type": "text", "text": "SECRET"}, {"type": "refusal", "refusal": "SECRET"})),
    (CHAT, {"messages": [{"role": "tool", "tool_call_id": "t", "content": "SECRET"}]}),
    (CHAT, {"messages": [{"role": "assistant", "content": None, "refusal": "SECRET"}]}),
    (CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "n", "input": "SECRET"}}]}]}),
    (CHAT, {"messages": [], "prediction": {"type": "content", "content": "SECRET"}}),
    (COMPLETIONS, {"prompt": "SECRET"}),
    (COMPLETIONS, {"prompt": ["other", "SECRET"], "suffix": "SECRET"}),
    (EMBEDDINGS, {"input": "SECRET"}),
    (EMBEDDINGS, {"input": ["SECRET", "other"]}),
]  # fmt: skip

UNTOUCHED = [
    (MESSAGES, {"model": "SECRET", "metadata": {"user_id": "SECRET"}, "messages": []}),
    (MESSAGES, {"tools": [{"name": "SECRET", "description": "SECRET"}], "stop_sequences": ["SECRET"]}),
    (MESSAGES, turn({"type": "thinking", "thinking": "SECRET", "signature": "SECRET"})),
    (MESSAGES, turn({"type": "redacted_thinking", "data": "SECRET"})),
    (MESSAGES, turn({"type": "image", "source": {"type": "base64", "data": "SECRET"}})),
    (MESSAGES, turn({"type": "document", "title": "SECRET", "source": {"type": "base64", "data": "SECRET"}})),
    (MESSAGES, turn({"type": "document", "source": "SECRET"})),
    (MESSAGES, turn({"type": "tool_use", "id": "SECRET", "name": "SECRET", "input": {"SECRET": 1}})),
    (MESSAGES, turn({"type": "tool_result", "tool_use_id": "SECRET", "content": None})),
    (MESSAGES, turn({"type": ["SECRET"]}, {"type": "text", "text": 5}, "SECRET", 7, {"type": "text", "text": ""})),
    (MESSAGES, {"messages": ["SECRET", {"role": "user"}, None], "system": 3}),
    (CHAT, turn({"type": "image_url", "image_url": {"url": "data:SECRET"}}, {"type": "file", "file": {"file_data": "SECRET"}})),
    (CHAT, turn({"type": "input_audio", "input_audio": {"data": "SECRET"}}, {"type": {}}, "SECRET")),
    (CHAT, {"messages": [{"role": "assistant", "reasoning": "SECRET", "reasoning_content": "SECRET", "reasoning_details": [{"data": "SECRET"}]}]}),
    (CHAT, {"messages": [{"role": "SECRET", "name": "SECRET", "tool_calls": "SECRET"}, 4], "user": "SECRET"}),
    (CHAT, {"messages": [{"tool_calls": [tool_call('{"SECRET":1}'), tool_call({"a": "SECRET"}), "SECRET"]}]}),
    (COMPLETIONS, {"prompt": [1, 2], "user": "SECRET"}),
    (EMBEDDINGS, {"input": [[1], [2]], "model": "SECRET"}),
]  # fmt: skip


def replaced(body):
    return orjson.loads(orjson.dumps(body).replace(b"SECRET", b"[key]"))


@pytest.mark.parametrize(("dialect", "body"), EDITED)
def test_every_text_is_edited(dialect, body):
    before = copy.deepcopy(body)

    assert edit_request_texts(dialect, body, EDIT) == replaced(body)
    assert body == before


@pytest.mark.parametrize(("dialect", "body"), EDITED + UNTOUCHED)
def test_a_body_in_which_nothing_is_found_stays_the_same_object(dialect, body):
    assert edit_request_texts(dialect, body, replacing("ABSENT")) is body


@pytest.mark.parametrize(("dialect", "body"), UNTOUCHED)
def test_what_is_no_text_is_never_edited(dialect, body):
    assert edit_request_texts(dialect, body, EDIT) is body


def test_what_no_edit_touched_is_shared_with_the_old_body():
    body = turn({"type": "text", "text": "SECRET"}, {"type": "image", "source": {"data": "0" * 99}})
    edited = edit_request_texts(MESSAGES, body, EDIT)

    assert edited["messages"][0]["content"][1] is body["messages"][0]["content"][1]


@pytest.mark.parametrize(
    ("arguments", "edited"),
    [
        ('{"path": "SECRET", "SECRET": 1.0}', {"path": "[key]", "SECRET": 1.0}),
        ('["a", {"b": "SECRET"}]', ["a", {"b": "[key]"}]),
        ('{"half": "SECRET', None),
    ],
)
@pytest.mark.parametrize("is_old", [True, False])
def test_arguments_are_edited_inside_their_json(arguments, edited, is_old):
    holder = (
        {"function_call": {"name": "n", "arguments": arguments}}
        if is_old
        else {"tool_calls": [tool_call(arguments)]}
    )
    body = edit_request_texts(CHAT, {"messages": [{"role": "assistant", **holder}]}, EDIT)
    message = body["messages"][0]
    text = (message["function_call"] if is_old else message["tool_calls"][0]["function"])["arguments"]  # fmt: skip

    # What is no JSON is edited as the text that it is.
    assert (orjson.loads(text) == edited) if edited else (text == '{"half": "[key]')


def test_the_strings_of_one_large_input_are_put_back_in_one_go():
    block = {"type": "tool_use", "input": {str(number): "SECRET" for number in range(20_000)}}
    edited = edit_request_texts(MESSAGES, turn(block), EDIT)

    assert set(edited["messages"][0]["content"][0]["input"].values()) == {"[key]"}


def test_recorded_requests_of_real_clients_are_walked_through():
    seen = []

    def listen(text):
        seen.append(text)
        return text

    for path in sorted(FOLDER.parent.glob("claude-code/*.json")):
        for request in orjson.loads(path.read_bytes())["requests"]:
            body = request.get("body")
            if isinstance(body, dict) and "messages" in body:
                assert edit_request_texts(MESSAGES, body, listen) is body
    assert len(seen) > 50


ANSWERS = [
    (MESSAGES, {"content": [{"type": "text", "text": "SECRET", "citations": None}], "id": "m"}),
    (CHAT, {"choices": [{"index": 0, "message": {"content": "SECRET"}, "logprobs": None}]}),
    (CHAT, {"choices": [{"message": {"content": [{"type": "text", "text": "SECRET"}]}}]}),
    (COMPLETIONS, {"choices": [{"text": "SECRET", "index": 0}]}),
]

ANSWERS_UNTOUCHED = [
    (MESSAGES, {"content": [{"type": "thinking", "thinking": "SECRET", "signature": "SECRET"}]}),
    (MESSAGES, {"content": [{"type": "tool_use", "name": "n", "input": {"a": "SECRET"}}, 3]}),
    (CHAT, {"choices": [{"message": {"content": None, "reasoning": "SECRET"}}, "SECRET"]}),
    (CHAT, {"choices": [{"message": {"tool_calls": [tool_call('"SECRET"')]}}], "id": "SECRET"}),
    (EMBEDDINGS, {"data": [{"embedding": "SECRET"}]}),
]


@pytest.mark.parametrize(("dialect", "answer"), ANSWERS)
def test_what_an_answer_says_is_edited(dialect, answer):
    assert edit_answer_texts(dialect, answer, EDIT) == replaced(answer)


@pytest.mark.parametrize(("dialect", "answer"), ANSWERS_UNTOUCHED)
def test_what_an_answer_thinks_and_calls_is_not(dialect, answer):
    assert edit_answer_texts(dialect, answer, EDIT) is answer


def test_log_probabilities_of_a_text_that_changed_are_left_out():
    told = {"content": [{"token": "SECRET"}]}
    choices = [{"message": {"content": word}, "logprobs": told} for word in ("SECRET", "other")]
    edited = edit_answer_texts(CHAT, {"choices": choices}, EDIT)

    assert edited["choices"][0]["logprobs"] is None
    assert edited["choices"][1] is choices[1]
