"""The one table of errors, and the words this house does not use."""

import importlib
import pkgutil

import orjson
import pytest
from django.apps import apps

import accounting
import conversion
import llmgateway
import routing
from accounting.errors import KeyMissing
from conversion.dialects import Dialect
from conversion.errors import (
    GatewayError,
    PromptTooLong,
    RequestInexpressible,
    RequestInvalid,
    UpstreamOutOfCredit,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamUnauthorized,
)
from llmgateway.errors import TABLE, HttpFault, error_headers, row_for, write_error
from llmgateway.failures import FailedAttempt, FallbackExhausted
from routing.errors import NoTarget
from routing.upstream.errors import UpstreamTlsFailed

PACKAGES = (llmgateway, routing, accounting, conversion)
FORBIDDEN = {
    "bypass", "executor", "utils", "util", "helpers", "helper", "common", "base", "manager", "service",
}  # fmt: skip
ANTHROPIC_TYPES = {
    "invalid_request_error": {400, 405, 415},
    "authentication_error": {401},
    "billing_error": {429},
    "permission_error": {403},
    "not_found_error": {404},
    "timeout_error": {408, 504},
    "request_too_large": {413},
    "rate_limit_error": {429},
    "api_error": {500, 502},
    "overloaded_error": {529},
}


def modules() -> list[str]:
    return [
        found.name
        for package in PACKAGES
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]


def all_errors() -> list[type[GatewayError]]:
    """Every class of the tree that our packages declare."""
    for name in modules():
        if ".migrations" not in name:
            importlib.import_module(name)
    found: list[type[GatewayError]] = []
    waiting = [GatewayError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__.split(".")[0] != "tests"]


def leaves() -> list[type[GatewayError]]:
    return [
        kind
        for kind in all_errors()
        if not any(child.__module__.split(".")[0] != "tests" for child in kind.__subclasses__())
        and kind is not FallbackExhausted
    ]


def a(kind: type[GatewayError]) -> GatewayError:
    return kind("message")


def test_the_walk_finds_the_branches_of_every_package():
    found = set(all_errors())

    assert {KeyMissing, NoTarget, UpstreamTlsFailed, PromptTooLong, HttpFault} <= found
    assert len(found) > 35


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
def test_every_error_is_answered_by_a_row_of_its_own_branch(kind, dialect):
    listed = next(parent for parent in kind.__mro__ if parent in TABLE)

    assert listed is not GatewayError
    assert row_for(a(kind), dialect) == TABLE[listed][dialect.family]


@pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)
def test_every_row_has_every_dialect_and_statuses_that_go_with_their_types(kind):
    rows = TABLE[kind]

    assert set(rows) == {dialect.family for dialect in Dialect}
    anthropic, openai = rows[Dialect.ANTHROPIC_MESSAGES], rows[Dialect.OPENAI_CHAT]
    assert anthropic.status in ANTHROPIC_TYPES[anthropic.type]
    assert anthropic.code is None
    assert 400 <= openai.status < 600
    assert openai.status != 529  # Anthropic's own
    assert openai.type in {
        "insufficient_quota",
        "invalid_request_error",
        "rate_limit_error",
        "server_error",
    }
    assert (openai.type == "server_error") == (openai.status >= 500)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_is_explained_in_a_sentence(kind):
    assert kind.__doc__
    assert kind.__doc__.split("\n")[0].endswith((".", "``upstream_status``"))


def test_anthropic_clients_get_anthropics_shape():
    body = orjson.loads(
        write_error(a(RequestInvalid), Dialect.ANTHROPIC_MESSAGES, request_id="req_1")
    )

    assert body == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "message"},
        "request_id": "req_1",
    }


def test_openai_clients_get_openais_shape():
    error = RequestInvalid("must be a list", path="messages")

    assert orjson.loads(write_error(error, Dialect.OPENAI_CHAT, request_id="req_1")) == {
        "error": {
            "message": "messages: must be a list",
            "type": "invalid_request_error",
            "param": "messages",
            "code": None,
        }
    }


def test_a_field_that_is_not_known_is_null():
    body = orjson.loads(write_error(a(KeyMissing), Dialect.OPENAI_CHAT, request_id="req_1"))

    assert body["error"]["param"] is None
    assert body["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("kind", [UpstreamUnauthorized, UpstreamOutOfCredit])
@pytest.mark.parametrize("dialect", list(Dialect))
def test_trouble_with_our_own_account_sends_no_client_to_a_login(kind, dialect):
    assert row_for(a(kind), dialect).status == 502


def exhausted(*errors: GatewayError) -> FallbackExhausted:
    return FallbackExhausted([FailedAttempt(f"p{n}", "m", e) for n, e in enumerate(errors, 1)])


def test_the_last_of_several_failures_stands_for_all():
    error = exhausted(a(UpstreamOverloaded), UpstreamRateLimited("slow down", retry_after_s=7.4))

    row = row_for(error, Dialect.ANTHROPIC_MESSAGES)
    assert (row.status, row.type) == (429, "rate_limit_error")
    assert error.message == (
        "slow down (after 2 attempts: p1: UpstreamOverloaded, p2: UpstreamRateLimited)"
    )
    assert error_headers(error) == {"retry-after": "7"}


def test_a_single_failure_is_told_as_it_is():
    error = exhausted(RequestInexpressible("cannot be said", path="tools.0"))

    assert error.message == "tools.0: cannot be said"
    body = orjson.loads(write_error(error, Dialect.OPENAI_CHAT, request_id="req_1"))
    assert body["error"]["param"] == "tools.0"


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (0.2, "1"), (1.6, "2"), (30.0, "30")])
def test_the_wait_is_told_in_whole_seconds_and_never_as_none(seconds, told):
    error = UpstreamRateLimited("slow down", retry_after_s=seconds)

    assert error_headers(error)["retry-after"] == told


@pytest.mark.parametrize("kind", [UpstreamUnauthorized, UpstreamTlsFailed, NoTarget])
def test_where_asking_again_cannot_help_clients_are_told_so(kind):
    assert error_headers(a(kind)) == {"x-should-retry": "false"}
    assert error_headers(exhausted(a(kind))) == {"x-should-retry": "false"}


def test_most_errors_say_nothing_of_asking_again():
    assert error_headers(a(UpstreamOverloaded)) == {}


def test_no_module_and_no_model_has_a_name_that_means_nothing():
    words = {
        word
        for name in modules()
        if name != "llmgateway.postgres.base"  # where Django looks for a database's backend
        for part in name.split(".")
        for word in (part, *part.split("_"))
    }
    assert words & FORBIDDEN == set()

    ours = {package.__name__ for package in PACKAGES}
    models = [
        model.__name__.lower() for model in apps.get_models() if model._meta.app_label in ours
    ]
    assert models
    assert [name for name in models if any(word in name for word in FORBIDDEN)] == []
