"""The provider kinds: each is one complete value."""

import pytest

from conversion.dialects import Dialect
from conversion.errors import GatewayError
from routing.models.provider import kind_choices
from routing.providers import KINDS, openrouter
from routing.providers.kind import bearer


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_is_complete(kind):
    assert KINDS[kind.name] is kind
    assert kind.dialect in set(Dialect)
    assert kind.traits("some/model").model == "some/model"
    assert kind.calls_out == bool(kind.paths[kind.dialect])
    assert not kind.base_url.endswith("/")
    assert isinstance(kind.read_error(500, b"no JSON", None), GatewayError)
    assert (kind.name, kind.label) in kind_choices()


def test_a_secret_goes_into_the_usual_header():
    assert bearer("secret") == (("Authorization", "Bearer secret"),)
    assert openrouter.KIND.credential_headers is bearer


@pytest.mark.parametrize(
    ("model", "helps"),
    [
        ("anthropic/claude-sonnet-4.5", True),
        ("~anthropic/claude-sonnet-latest", True),
        ("google/gemini-2.5-pro", True),
        ("openai/gpt-5", False),
        ("deepseek/anthropic/odd", False),
    ],
)
def test_openrouter_is_sent_marks_for_caching_where_they_help(model, helps):
    assert openrouter.traits(model).cache_control is helps


def test_openrouter_takes_reasoning_in_its_own_words():
    traits = openrouter.traits("openai/gpt-5")

    assert traits.reasoning == "openrouter"
    assert traits.reasoning_replay == "details"
    assert openrouter.KIND.paths[Dialect.OPENAI_CHAT] == "/chat/completions"
