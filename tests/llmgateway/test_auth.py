"""Where a client may put its key."""

import pytest

from llmgateway.auth import find_secrets


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, ()),
        ({"x-api-key": "gw-1"}, ("gw-1",)),  # Anthropic's SDK
        ({"authorization": "Bearer gw-1"}, ("gw-1",)),  # OpenAI's SDK, Claude Code
        ({"authorization": "bearer   gw-1  "}, ("gw-1",)),
        ({"authorization": "BEARER gw-1"}, ("gw-1",)),
        ({"x-api-key": "gw-1", "authorization": "Bearer gw-1"}, ("gw-1",)),  # apiKeyHelper
        ({"x-api-key": "gw-1", "authorization": "Bearer gw-2"}, ("gw-1", "gw-2")),
        ({"x-api-key": "  ", "authorization": "Bearer gw-2"}, ("gw-2",)),
        ({"authorization": "Bearer "}, ()),
        ({"authorization": "Bearer"}, ()),
        ({"authorization": "Basic Z3ctMQ=="}, ()),
        ({"authorization": "gw-1"}, ()),
        ({"x-llmgateway-key": "gw-0"}, ("gw-0",)),
    ],
)
def test_a_key_is_found_wherever_a_client_puts_it(headers, found):
    assert find_secrets(headers) == found


def test_our_own_header_hides_the_others():
    """A client may need the usual ones for somebody else, a subscription's login for example."""
    headers = {
        "x-llmgateway-key": " gw-0 ",
        "x-api-key": "sk-ant-theirs",
        "authorization": "Bearer sk-ant-theirs",
    }

    assert find_secrets(headers) == ("gw-0",)


def test_an_empty_header_of_ours_hides_nothing():
    assert find_secrets({"x-llmgateway-key": " ", "x-api-key": "gw-1"}) == ("gw-1",)
