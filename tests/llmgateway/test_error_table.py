"""Every error we can raise has its answer in both dialects, and every module has a name that says something."""

import importlib
import pkgutil
from collections.abc import Iterator

import orjson
import pytest

import accounting
import conversion
import llmgateway
import routing
from conversion.dialects import Dialect
from conversion.errors import GatewayError, RequestInvalid, UpstreamOutOfCredit, UpstreamRateLimited
from llmgateway.errors import (
    FINAL,
    TABLE,
    InternalFault,
    error_headers,
    row_for,
    told_by,
    write_error,
)
from llmgateway.failures import FailedAttempt, FallbackExhausted

PACKAGES = (llmgateway, routing, accounting, conversion)
VAGUE = {"bypass", "executor", "utils", "helpers", "common", "base", "manager", "service"}
ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
}


def module_names() -> Iterator[str]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield found.name


def error_classes() -> list[type[GatewayError]]:
    """The whole tree; all modules are imported first, so that no branch is overlooked."""
    for name in module_names():
        if ".migrations" not in name and name != "llmgateway.asgi":
            importlib.import_module(name)
    found: list[type[GatewayError]] = []
    waiting: list[type[GatewayError]] = [GatewayError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    own = tuple(package.__name__ for package in PACKAGES)
    return [kind for kind in found if kind.__module__.split(".")[0] in own]


CLASSES = error_classes()


def name_of(kind: type[GatewayError]) -> str:
    return kind.__name__


def make_error(kind: type[GatewayError]) -> GatewayError:
    if kind is FallbackExhausted:
        return FallbackExhausted([FailedAttempt("openrouter", "model", UpstreamRateLimited("no"))])
    return kind("The reason.")


def test_no_module_has_a_name_that_says_nothing():
    last_words = {name: name.rsplit(".", 1)[-1] for name in module_names()}

    assert len(last_words) > 50
    vague = {name for name, word in last_words.items() if word in VAGUE}
    assert vague == {"llmgateway.postgres.base"}  # where Django looks for a database's backend


def test_the_tree_has_been_found():
    assert {"GatewayError", "KeyRefused", "NoTarget", "IdleTimeout", "PromptTooLong"} <= {
        kind.__name__ for kind in CLASSES
    }


@pytest.mark.parametrize("kind", CLASSES, ids=name_of)
def test_every_error_is_answered_in_both_dialects(kind):
    error = make_error(kind)

    anthropic = orjson.loads(write_error(error, Dialect.ANTHROPIC_MESSAGES, request_id="req_1"))
    assert set(anthropic) == {"type", "error", "request_id"}
    assert anthropic["type"] == "error"
    assert anthropic["request_id"] == "req_1"
    assert anthropic["error"]["type"] in ANTHROPIC_TYPES
    assert anthropic["error"]["message"] == error.message
    openai = orjson.loads(write_error(error, Dialect.OPENAI_CHAT, request_id="req_1"))["error"]
    assert set(openai) == {"message", "type", "param", "code"}
    assert openai["message"] == error.message
    for dialect in Dialect:
        assert 400 <= row_for(error, dialect).status <= 599
    assert row_for(error, Dialect.OPENAI_CHAT).status != 529  # Anthropic's own


@pytest.mark.parametrize(
    "kind", [kind for kind in CLASSES if not kind.__subclasses__()], ids=name_of
)
def test_no_error_is_answered_only_because_it_is_ours(kind):
    """A leaf is listed, or has a listed parent nearer than the root, or stands for another error."""
    listed = [parent for parent in kind.__mro__ if parent in TABLE and parent is not GatewayError]

    assert listed or kind is FallbackExhausted


@pytest.mark.parametrize("kind", TABLE, ids=name_of)
def test_every_row_of_the_table_has_both_dialects(kind):
    assert set(TABLE[kind]) == {dialect.family for dialect in Dialect}


def test_the_field_at_fault_is_told_to_openai_clients():
    error = RequestInvalid("Input should be a string", path="messages[0].content")

    body = orjson.loads(write_error(error, Dialect.OPENAI_CHAT, request_id="req_1"))

    assert body["error"]["param"] == "messages[0].content"
    assert body["error"]["message"] == "messages[0].content: Input should be a string"


def test_the_last_failure_stands_for_all_and_the_others_are_named():
    error = FallbackExhausted(
        [
            FailedAttempt("one", "model", UpstreamOutOfCredit("no money", retry_after_s=9)),
            FailedAttempt("two", "model", UpstreamRateLimited("slow down", retry_after_s=3)),
        ]
    )

    assert row_for(error, Dialect.ANTHROPIC_MESSAGES).status == 429
    assert told_by(error) is error.failures[1].error
    assert error.message == (
        "slow down (after 2 attempts: one: UpstreamOutOfCredit, two: UpstreamRateLimited)"
    )
    assert error_headers(error) == {"retry-after": "3"}


def test_a_single_failure_is_told_in_its_own_words():
    error = FallbackExhausted([FailedAttempt("one", "model", UpstreamRateLimited("slow down"))])

    assert error.message == "slow down"


@pytest.mark.parametrize(("wait_s", "told"), [(0.0, "1"), (0.2, "1"), (1.6, "2"), (30, "30")])
def test_a_wait_is_told_in_whole_seconds_of_at_least_one(wait_s, told):
    error = UpstreamRateLimited("slow down", retry_after_s=wait_s)

    assert error_headers(error) == {"retry-after": told}


@pytest.mark.parametrize("kind", FINAL, ids=name_of)
def test_what_asking_again_cannot_mend_is_said_to_be_so(kind):
    assert error_headers(make_error(kind)) == {"x-should-retry": "false"}
    failed = FallbackExhausted([FailedAttempt("one", "model", make_error(kind))])
    assert error_headers(failed) == {"x-should-retry": "false"}


def test_a_bug_of_ours_is_a_500():
    assert row_for(InternalFault("inside"), Dialect.ANTHROPIC_MESSAGES).status == 500
    assert error_headers(InternalFault("inside")) == {}
