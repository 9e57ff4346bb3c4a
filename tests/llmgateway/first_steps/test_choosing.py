"""Which models are ticked at first, and what is known of where a provider stands."""

import pytest

from llmgateway.first_steps import choosing, remedies
from tests.factories.routing import make_provider
from tests.llmgateway.test_error_table import CLASSES

MANY = [f"vendor/model-{number}" for number in range(20)]


def test_a_short_list_is_ticked_whole():
    assert choosing.suggested(["a", "b"]) == ["a", "b"]
    assert choosing.suggested([]) == []


def test_of_a_long_list_the_newest_of_each_family_of_claude_is_ticked():
    listed = [
        *MANY,
        "anthropic/claude-sonnet-4.5",
        "anthropic/claude-sonnet-4.5:beta",
        "anthropic/claude-sonnet-4",
        "anthropic/claude-3.7-sonnet",
        "anthropic/claude-opus-4.10",
        "anthropic/claude-opus-4.9",
        "claude-haiku-4-5-20251001",
    ]

    assert set(choosing.suggested(listed)) == {
        "anthropic/claude-sonnet-4.5",
        "anthropic/claude-opus-4.10",
        "claude-haiku-4-5-20251001",
    }


def test_of_a_long_list_without_claude_the_first_is_ticked():
    assert choosing.suggested(MANY) == MANY[:1]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "base_url", "is_own"),
    [
        ("ollama", "", True),
        ("openai_compatible", "http://vllm:8000/v1", True),
        ("openai_compatible", "http://10.1.2.3/v1", True),
        ("openai_compatible", "https://api.openai.com/v1", False),
        ("openrouter", "", False),
    ],
)
def test_prices_of_ones_own_servers_are_not_looked_up(kind, base_url, is_own):
    row = make_provider("p", kind=kind, base_url=base_url)

    assert choosing.is_own_server(row) is is_own


def test_each_remedy_is_about_an_error_that_there_is():
    assert {error.__name__ for error in CLASSES} >= remedies.REMEDIES.keys()
    assert remedies.remedy_for("?") == remedies.OTHERWISE
