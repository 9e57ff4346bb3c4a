"""Every chat request that OpenAI's SDK was recorded to send becomes a sound Messages request."""

from copy import deepcopy
from pathlib import Path

import orjson
import pytest

from conversion.call import read_call
from conversion.dialects import Dialect
from conversion.openai_over_anthropic.request import write_request
from conversion.traits import MessagesTraits
from tests.conversion.messages_rules import check_request

FIXTURES = Path(__file__).parents[2] / "fixtures"
TRAITS = {
    "budget": MessagesTraits(model="claude-sonnet-4-5", max_output_tokens=64000),
    "adaptive": MessagesTraits(
        model="claude-opus-5",
        thinking="adaptive",
        efforts=("low", "medium", "high", "xhigh", "max"),
        sampling=False,
        system_turns=True,
    ),
    "plain": MessagesTraits(
        model="other",
        thinking="none",
        structured_output=False,
        strict_tools=False,
        user_field="none",
    ),
}


def requests():
    """The bodies of all recorded calls."""
    for path in sorted(FIXTURES.glob("openai-sdk/*.json")):
        for number, request in enumerate(orjson.loads(path.read_bytes())["requests"]):
            if request["method"] == "POST" and request["path"].endswith("/chat/completions"):
                yield pytest.param(request["body"], id=f"{path.stem}-{number}")


def test_there_are_recorded_requests():
    assert len(list(requests())) >= 10


@pytest.mark.parametrize("traits", TRAITS.values(), ids=TRAITS)
@pytest.mark.parametrize("body", list(requests()))
def test_a_recorded_request_becomes_a_sound_messages_request(body, traits):
    call = read_call(Dialect.OPENAI_CHAT, orjson.dumps(body))
    before = deepcopy(call.body)
    written = write_request(call, traits)
    request = orjson.loads(written.body)

    check_request(request)
    assert call.body == before
    assert request["model"] == traits.model
    assert request.get("stream", False) == body.get("stream", False)
    assert len(request.get("tools", [])) == len(body.get("tools", []))
