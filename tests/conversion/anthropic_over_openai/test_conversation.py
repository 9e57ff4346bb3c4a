"""The order of messages, and that a long conversation costs no more than its length."""

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from conversion.anthropic_over_openai.conversation import Conversation
from conversion.anthropic_over_openai.request import write_request
from conversion.call import Call, read_call
from conversion.dialects import Dialect
from conversion.traits import ChatTraits

pytestmark = pytest.mark.uncovered

TRAITS = ChatTraits(
    model="anthropic/claude-model",
    reasoning="openrouter",
    reasoning_replay="details",
    cache_control=True,
)
PLAIN = ChatTraits(model="m", reasoning="effort", reasoning_replay="content")


def said(role: str, content: Any = "x") -> dict[str, Any]:
    return {"role": role, "content": content}


def calling(*ids: str, content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(ids), **more}


def test_results_stand_behind_their_calls_and_before_what_was_said_meanwhile():
    conversation = Conversation()
    conversation.add_assistant(calling("1", "2"))
    conversation.add_results([said("tool", "one")])
    conversation.add(said("user", "meanwhile"))
    conversation.add_results([said("tool", "two")])
    conversation.add(said("user", "after"))
    conversation.add_assistant(said("assistant", "done"))

    contents = [message["content"] for message in conversation.all()]
    assert contents == [None, "one", "two", "meanwhile", "after", "done"]


def test_results_of_no_calls_stay_where_they_are():
    conversation = Conversation()
    conversation.add(said("user", "first"))
    conversation.add_results([said("tool", "of nothing")])
    conversation.add_assistant(said("assistant", "well"))
    conversation.add(said("user", "second"))
    conversation.add_results([said("tool", "of nothing")])

    contents = [message["content"] for message in conversation.all()]
    assert contents == ["first", "of nothing", "well", "second", "of nothing"]


def test_an_assistants_turns_become_one_until_something_stands_between():
    conversation = Conversation()
    conversation.add_assistant(calling("1", content="a", reasoning_content="p"))
    conversation.add_assistant(said("assistant", "b"))
    conversation.add_assistant(calling("2", reasoning_content="q"))
    conversation.add_results([said("tool", "one")])
    conversation.add_assistant(said("assistant", "c"))
    conversation.add_assistant(said("assistant", "d"))

    first, *others = conversation.all()
    assert first == calling("1", "2", content="ab", reasoning_content="pq")
    assert [message["content"] for message in others] == ["one", "c", "d"]


def test_marked_parts_keep_their_marks_beside_plain_text():
    marked = [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    conversation = Conversation()
    conversation.add_assistant(calling("1", content="a", reasoning_details=["p"]))
    conversation.add_assistant({**said("assistant", marked), "reasoning_details": ["q"]})

    text = {"type": "text", "text": "a"}
    assert conversation.all() == [
        calling("1", content=[text, *marked], reasoning_details=["p", "q"])
    ]


def use(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": "x", "input": {}}


def result(number: int) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": "r"}


TEXT = {"type": "text", "text": "x" * 300}
MARKED = {**TEXT, "cache_control": {"type": "ephemeral"}}
THOUGHT = {"type": "thinking", "thinking": "x" * 300, "signature": ""}


def turns_of(block: dict[str, Any]) -> Callable[[int], dict[str, Any]]:
    """One call, then many assistant turns that all belong to the same message."""
    return lambda count: {
        "messages": [said("assistant", [use(0)])] + [said("assistant", [block])] * count
    }


LONG: dict[str, Callable[[int], dict[str, Any]]] = {
    "turns": lambda count: {
        "messages": [said("user", [TEXT]), said("assistant", [TEXT])] * (count // 2)
    },
    "blocks": lambda count: {"messages": [said("user", [TEXT] * count)]},
    "joined calls": lambda count: {
        "messages": [said("assistant", [use(number)]) for number in range(count)]
    },
    "joined texts": turns_of(TEXT),
    "joined parts": turns_of(MARKED),
    "joined thoughts": turns_of(THOUGHT),
    "results one by one": lambda count: {
        "messages": [said("assistant", [use(number) for number in range(count)])]
        + [said("user", [result(number), TEXT]) for number in range(count)]
    },
    "tools to rename": lambda count: {"tools": [{"name": f"tool {n}"} for n in range(count)]},
    "a tool's name": lambda count: {"tools": [{"name": "x " * count * 40}]},
    "stop sequences": lambda count: {"stop_sequences": ["x"] * count},
    "unknown fields": lambda count: {f"field {number}": 1 for number in range(count)},
    "unknown blocks": lambda count: {
        "messages": [said("user", [TEXT] + [{"type": f"kind {n}"} for n in range(count)])]
    },
}


@pytest.mark.parametrize("traits", [TRAITS, PLAIN], ids=["marks", "plain"])
@pytest.mark.parametrize("kind", LONG)
def test_a_request_takes_as_long_as_it_is_long(kind, traits):
    short, long = (call_of(LONG[kind](count)) for count in (6_000, 24_000))

    # Four times as much; sixteen times as long if each item looked at all the others.
    assert seconds_for(long, traits) < 9 * seconds_for(short, traits) + 0.02


def call_of(body: dict[str, Any]) -> Call:
    least = {"model": "m", "max_tokens": 50, "messages": [said("user")]}
    return read_call(Dialect.ANTHROPIC_MESSAGES, orjson.dumps({**least, **body}))


def seconds_for(call: Call, traits: ChatTraits) -> float:
    """CPU seconds of the quickest of three conversions."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        write_request(call, traits)
        taken.append(time.process_time() - began)
    return min(taken)
