"""How each of LiteLLM's exceptions reads, by the table and against a server that fails in each way."""

import inspect
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from conversion.errors import (
    GatewayError,
    PromptTooLong,
    UpstreamBroken,
    UpstreamForbidden,
    UpstreamInvalid,
    UpstreamModelUnknown,
    UpstreamOutOfCredit,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamStreamCut,
    UpstreamTimedOut,
    UpstreamTooLarge,
    UpstreamUnauthorized,
)
from routing.providers import litellm_sdk
from routing.providers.litellm_errors import BY_CLASS, read_exception, row_of
from routing.providers.litellm_sdk import answer, prepare
from routing.upstream.errors import NetworkError, UpstreamDisconnected, UpstreamUnreachable
from tests.fakes.upstream import (
    NOTHING_AT_ALL,
    SILENCE,
    FakeUpstream,
    chunk,
    json_answer,
    stream_answer,
)
from tests.routing import test_litellm_sdk
from tests.routing.test_litellm_sdk import BODY, SECRET, STREAM, ask, mocked, pieces_of

pytestmark = test_litellm_sdk.pytestmark


@pytest.fixture(autouse=True)
def loaded() -> None:
    prepare()


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake
        await litellm_sdk.let_go()


async def failure(upstream: FakeUpstream, body: dict[str, Any], **more: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await pieces_of(await answer(ask(upstream, body, **more)))
    return caught.value


def exceptions_of_litellm() -> list[type[Exception]]:
    module = sys.modules["litellm.exceptions"]
    found = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    return [kind for kind in found if issubclass(kind, Exception)]


def test_every_exception_of_litellm_has_a_row_of_its_own():
    """And by the class itself, so that no new one is judged by its parent without a look."""
    found = exceptions_of_litellm()

    assert len(found) > 25
    assert {kind.__name__ for kind in found} - set(BY_CLASS) == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AuthenticationError", UpstreamUnauthorized),
        ("PermissionDeniedError", UpstreamUnauthorized),
        ("NotFoundError", UpstreamModelUnknown),
        ("ContextWindowExceededError", PromptTooLong),
        ("ContentPolicyViolationError", UpstreamForbidden),
        ("PaymentRequiredError", UpstreamOutOfCredit),
        ("RejectedRequestError", UpstreamRejected),
        ("UnsupportedParamsError", UpstreamRejected),
        ("UnprocessableEntityError", UpstreamRejected),
        ("BadRequestError", UpstreamRejected),
        ("RateLimitError", UpstreamRateLimited),
        ("Timeout", UpstreamTimedOut),
        ("ServiceUnavailableError", UpstreamOverloaded),
        ("InternalServerError", UpstreamBroken),
        ("BadGatewayError", UpstreamBroken),
        ("APIConnectionError", UpstreamBroken),
        ("APIResponseValidationError", UpstreamInvalid),
    ],
)
def test_a_class_is_read_by_its_row(name, expected):
    kind = getattr(sys.modules["litellm.exceptions"], name)
    needs = {
        "message": f"{name}: OpenAIException - no, {SECRET}",
        "llm_provider": "openai",
        "model": "m",
        "request_data": {},
        "response": httpx.Response(400, request=httpx.Request("POST", "http://x")),
    }
    wanted = inspect.signature(kind.__init__).parameters

    error = read_exception(kind(**{k: v for k, v in needs.items() if k in wanted}), [SECRET])

    assert type(error) is expected
    assert SECRET not in error.message
    assert "litellm." not in error.message
    if expected is not PromptTooLong:
        assert error.message == "no, …"


def test_a_child_without_a_row_is_judged_by_its_nearest_parent():
    parent = sys.modules["litellm.exceptions"].ContextWindowExceededError
    child = type("Brandnew", (parent,), {"__module__": "litellm.new"})

    assert row_of(child("m", "x", "openai")) == "ContextWindowExceededError"


def test_an_exception_of_another_kind_is_told_by_its_name_only(caplog):
    error = read_exception(KeyError(f"choices {SECRET}"))

    assert type(error) is UpstreamBroken
    assert error.message == "LiteLLM failed inside (KeyError)"
    assert SECRET not in caplog.text


def test_a_class_of_the_same_name_from_elsewhere_is_another_kind():
    assert row_of(type("Timeout", (Exception,), {"__module__": "somewhere"})()) == ""


def test_an_api_error_is_judged_by_its_status():
    kind = sys.modules["litellm.exceptions"].APIError

    read = read_exception(kind(402, "OpenAIException - no money", "openai", "m"))

    assert type(read) is UpstreamOutOfCredit
    assert read.message == "no money"


def test_what_a_stream_wraps_is_unwrapped():
    module = sys.modules["litellm.exceptions"]
    inner = module.RateLimitError("slow", "openai", "m")

    wrapped = module.MidStreamFallbackError("slow", "m", "openai", original_exception=inner)
    bare = module.MidStreamFallbackError("gone", "m", "openai", original_exception=None)

    assert type(read_exception(wrapped)) is UpstreamRateLimited
    assert type(read_exception(bare)) is UpstreamOverloaded


HTTP_ERRORS = [
    (400, "bad thing", UpstreamRejected),
    (401, f"wrong key {SECRET}", UpstreamUnauthorized),
    (402, "no money", UpstreamOutOfCredit),
    (403, "not yours", UpstreamUnauthorized),
    (404, "no such model", UpstreamModelUnknown),
    (408, "slow model", UpstreamTimedOut),
    (413, "too big", UpstreamTooLarge),
    (422, "odd field", UpstreamRejected),
    (429, "slow down", UpstreamRateLimited),
    (500, "broken", UpstreamBroken),
    (502, "bad gateway", UpstreamBroken),
    (503, "no room", UpstreamOverloaded),
    (529, "overloaded", UpstreamOverloaded),
]


@pytest.mark.parametrize(("status", "said", "expected"), HTTP_ERRORS)
async def test_an_error_answer_keeps_status_sentence_and_wait(upstream, status, said, expected):
    told = {"error": {"message": said}}
    upstream.answers(json_answer(told, status=status, headers={"retry-after": "7"}))

    error = await failure(upstream, BODY)

    assert type(error) is expected
    assert error.message == said.replace(SECRET, "…")
    assert error.upstream_status == status  # type: ignore[attr-defined]
    assert error.retry_after_s == 7
    assert len(upstream.requests) == 1


async def test_a_prompt_that_is_too_long_is_told_in_the_words_clients_act_on(upstream):
    said = "This model's maximum context length is 100 tokens. However, your messages resulted in 200 tokens."
    upstream.answers(json_answer({"error": {"message": said}}, status=400))

    error = await failure(upstream, BODY)

    assert type(error) is PromptTooLong
    assert error.message == "prompt is too long: 200 tokens > 100 maximum"


async def test_a_page_of_html_is_not_passed_on(upstream):
    upstream.answers(json_answer("<html><body>nginx</body></html>", status=500))

    assert "html" not in (await failure(upstream, BODY)).message


async def test_a_server_that_is_not_there_is_a_network_error(upstream):
    error = await failure(upstream, BODY, base_url="http://127.0.0.1:9/v1")

    assert type(error) is UpstreamUnreachable
    assert error.may_fall_back


async def test_a_connection_that_breaks_before_the_answer_is_a_network_error(upstream):
    upstream.answers(NOTHING_AT_ALL)

    assert isinstance(await failure(upstream, BODY), NetworkError)


async def test_patience_is_the_gateways(upstream):
    upstream.answers(SILENCE)

    assert type(await failure(upstream, BODY, total_s=0.2)) is UpstreamTimedOut


@pytest.mark.parametrize(
    ("mock", "expected"),
    [
        ("litellm.RateLimitError", UpstreamRateLimited),
        ("litellm.ContextWindowExceededError", PromptTooLong),
        ("litellm.InternalServerError", UpstreamBroken),
    ],
)
async def test_litellms_mocked_errors_are_read(upstream, mock, expected):
    assert type(await failure(upstream, BODY, secret=mocked(mock))) is expected


async def test_a_model_that_litellm_cannot_place_is_the_requests_fault(upstream):
    error = await failure(upstream, {**BODY, "model": "nobody/knows"})

    assert type(error) is UpstreamRejected
    assert "nobody/knows" in error.message


async def test_a_parameter_that_the_model_does_not_take_is_named(upstream):
    error = await failure(upstream, {**BODY, "model": "openai/gpt-4o", "reasoning_effort": "high"})

    assert type(error) is UpstreamRejected
    assert "reasoning_effort" in error.message
    assert "drop_params" not in error.message


@pytest.mark.parametrize(
    ("upstream_answer", "expected"),
    [
        (stream_answer([chunk({"content": "Hel"})], done=False), UpstreamStreamCut),
        (
            stream_answer([chunk({"content": "Hel"})], done=False, ending="cut"),
            UpstreamDisconnected,
        ),
        (
            stream_answer([chunk({"content": "Hel"})], done=False, ending="reset"),
            UpstreamDisconnected,
        ),
        (
            stream_answer([chunk({"content": "Hel"}), {"error": {"message": "boom", "code": 502}}]),
            UpstreamBroken,
        ),
        (
            stream_answer([chunk({"content": "Hel"}), {"error": {"message": "slow", "code": 429}}]),
            UpstreamRateLimited,
        ),
        (stream_answer([chunk({"content": "Hel"}), "data: {nonsense\n\n"]), UpstreamBroken),
    ],
    ids=["no end", "cut", "reset", "error", "rate limit", "nonsense"],
)
async def test_a_stream_that_breaks_raises_after_what_it_held(upstream, upstream_answer, expected):
    upstream.answers(upstream_answer)
    reply = await answer(ask(upstream, STREAM))

    first = await anext(reply.pieces)
    with pytest.raises(GatewayError) as caught:
        await pieces_of(reply)

    assert b"Hel" in first
    assert type(caught.value) is expected
    await reply.pieces.aclose()  # type: ignore[attr-defined]
