"""A message that says nothing but a text is written past what looks for more, and comes out the same."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.anthropic_over_openai import response
from conversion.anthropic_over_openai.request import write_request
from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.errors import RequestInvalid
from conversion.traits import ChatTraits
from tests.conversion.anthropic_over_openai.answering import Answering

NOTHING = st.sampled_from([None, "", [], {}, False])
MESSAGES = st.fixed_dictionaries(
    {"content": st.text(max_size=5)},
    optional={
        "role": st.just("assistant"),
        "refusal": NOTHING | st.just("no"),
        "reasoning": NOTHING | st.just("well"),
        "reasoning_content": NOTHING,
        "reasoning_details": NOTHING | st.just([{"type": "reasoning.text", "text": "well"}]),
        "tool_calls": NOTHING,
        "function_call": st.none(),
        "annotations": NOTHING | st.just([{"type": "url_citation"}]),
        "anything": NOTHING | st.just(1),
    },
)


@given(MESSAGES, st.sampled_from(["stop", "length", "content_filter", None]))
def test_a_plain_answer_is_what_the_long_way_makes_of_it(message, ended):
    answer = {
        "id": "gen-1",
        "model": "m",
        "choices": [{"message": message, "finish_reason": ended}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    short, long = Answering(), Answering()
    told = short.read_answer(orjson.dumps(answer))
    # A member that nobody knows: the message is looked through then.
    message["x_unknown"] = True
    assert response._plain_text(message, long.facts) is None
    assert told == long.read_answer(orjson.dumps(answer))
    assert short.facts == long.facts


@given(st.text(min_size=1))
def test_a_lone_text_is_what_the_long_way_makes_of_it(text):
    short = [{"role": "user", "content": text}]
    long = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    assert written(short) == written(long) == short


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": None}],
        [{"role": "assistant!", "content": "x"}],
        ["x"],
    ],
)
def test_a_lone_turn_that_is_none_is_refused_as_ever(turns):
    with pytest.raises(RequestInvalid):
        written(turns)


def written(turns):
    """The messages that are sent for a client's."""
    raw = orjson.dumps({"model": "m", "max_tokens": 5, "messages": turns})
    call = read_call(Dialect.ANTHROPIC_MESSAGES, raw)
    return orjson.loads(write_request(call, ChatTraits(model="m")).body)["messages"]
