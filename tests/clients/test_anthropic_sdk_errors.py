"""What goes wrong, as Anthropic's own Python SDK tells it to its caller."""

import asyncio
import time
from dataclasses import replace

import anthropic
import pytest

from tests.clients.answers import Said, answer_to, says, stream_answer_of_events
from tests.clients.house import at_each_head, in_the_house
from tests.clients.pairs import CHAT, MESSAGES, NATIVE
from tests.fakes.upstream import Answer, chunk, json_answer, stream_answer
from tests.waiting import PATIENCE_S

pytestmark = [in_the_house, pytest.mark.uncovered]
over_claudes = pytest.mark.parametrize("pair", [CHAT, NATIVE, MESSAGES], ids=str)
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
BODY_BYTES_MAX = 32 * 1024 * 1024
QUESTION = [{"role": "user", "content": "Hi"}]


async def ask(claude, *, streams=False, pair=CHAT, **asked):
    asked = {"model": pair.model, "max_tokens": 50, "messages": QUESTION, **asked}
    if not streams:
        return await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        return await stream.get_final_message()


def error_of(pair, kind, message, status):
    """An upstream's error answer, in its own dialect."""
    if pair is CHAT:
        return {"error": {"message": message, "code": status}}
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"}


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.ContentTooLargeError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.OverloadedError),
    ],
)
@over_claudes
@whole_and_streamed
async def test_an_upstreams_error_is_raised_as_what_it_is(
    house, claude, pair, streams, status, kind, expected
):
    error = error_of(pair, kind, "upstream's words", status)
    house.upstream.answers(json_answer(error, status=status))
    with pytest.raises(expected) as told:
        await ask(claude, streams=streams, pair=pair)

    assert told.value.type == kind
    assert told.value.request_id.startswith("req_")
    assert "upstream's words" in told.value.message
    assert (await house.record()).status == "failed"


@pytest.mark.parametrize("status", [401, 403])
@over_claudes
async def test_a_refused_credential_of_ours_is_not_the_clients(house, claude, pair, status):
    error = error_of(pair, "authentication_error", "invalid x-api-key", status)
    house.upstream.answers(json_answer(error, status=status))
    with pytest.raises(anthropic.InternalServerError) as told:
        await ask(claude, pair=pair)

    assert told.value.status_code == 502


async def test_a_refusal_by_moderation_is_the_clients(house, claude):
    metadata = {"reasons": ["violence"], "flagged_input": "…"}
    error = {"error": {"message": "flagged", "code": 403, "metadata": metadata}}
    house.upstream.answers(json_answer(error, status=403))
    with pytest.raises(anthropic.PermissionDeniedError) as told:
        await ask(claude)

    assert told.value.type == "permission_error"


async def test_a_wrong_key_is_an_authentication_error(house):
    async with anthropic.AsyncAnthropic(base_url=house.url, api_key="gw-wrong") as sdk:
        with pytest.raises(anthropic.AuthenticationError) as told:
            await ask(sdk)

    assert told.value.type == "authentication_error"
    assert house.upstream.requests == []


async def test_an_unknown_model_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError) as told:
        await ask(claude, model="nobody-knows")
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("nobody-knows")

    assert told.value.type == "not_found_error"
    assert "nobody-knows" in told.value.message


async def test_what_the_gateway_does_not_have_is_not_found(claude):
    with pytest.raises(anthropic.NotFoundError) as told:
        await claude.messages.batches.list()

    assert told.value.type == "not_found_error"


@over_claudes
async def test_a_broken_request_names_its_field(house, claude, pair):
    with pytest.raises(anthropic.BadRequestError) as told:
        await ask(claude, pair=pair, extra_body={"stream": "yes"})

    assert told.value.type == "invalid_request_error"
    assert "stream" in told.value.message
    assert house.upstream.requests == []


async def test_a_body_that_is_too_large_says_so(house, claude):
    turns = [{"role": "user", "content": "x" * BODY_BYTES_MAX}]
    with pytest.raises(anthropic.ContentTooLargeError) as told:
        await ask(claude, messages=turns)

    assert told.value.type == "request_too_large"
    assert house.upstream.requests == []


@pytest.mark.parametrize(("pair", "streams"), [(CHAT, False), (NATIVE, True)], ids=str)
async def test_the_sdk_waits_as_long_as_it_is_told_and_succeeds(house, pair, streams):
    error = error_of(pair, "rate_limit_error", "slow down", 429)
    house.upstream.answers(json_answer(error, status=429, headers={"retry-after": "1"}))
    house.upstream.answer_with = says(Said("At last."))
    began_s = time.monotonic()
    async with anthropic.AsyncAnthropic(base_url=house.url, api_key=house.key) as sdk:
        message = await ask(sdk, pair=pair, streams=streams)

    assert message.content[0].text == "At last."
    assert 0.9 < time.monotonic() - began_s < PATIENCE_S
    assert [record.status for record in await house.records(2)] == ["failed", "succeeded"]


async def test_the_sdk_does_not_repeat_what_cannot_help(house):
    house.upstream.default = json_answer(error_of(CHAT, "", "no credit", 402), status=402)
    async with anthropic.AsyncAnthropic(base_url=house.url, api_key=house.key) as sdk:
        with pytest.raises(anthropic.InternalServerError):
            await ask(sdk)

    assert len(house.upstream.requests) == 1


# In the middle of a stream


def broken_off(pair, *last):
    """A stream that holds some words, and then only ``last``; slow enough that the words have left by then."""
    whole = answer_to(FakeRequest(pair), Said("Some words and"))
    pieces = list(whole.pieces)
    end = next(number for number, piece in enumerate(pieces) if b'"and"' in piece)
    ending = "close" if last else "cut"
    return Answer([*pieces[:end], *last], headers=whole.headers, pause_s=0.01, ending=ending)


class FakeRequest:
    """As much of a request as an answer is made of."""

    def __init__(self, pair):
        self.path = pair.path
        self.json = {"model": pair.upstream_model, "stream": True}


MIDSTREAM = {
    CHAT: stream_answer(
        [chunk(finish_reason="error", error={"code": 502, "message": "the model fell over"})],
        done=False,
    ),
    NATIVE: stream_answer_of_events(
        [{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}]
    ),
}


@pytest.mark.parametrize("pair", [CHAT, NATIVE], ids=str)
async def test_an_error_in_the_middle_of_a_stream_is_raised(house, claude, pair):
    house.upstream.answers(broken_off(pair, *MIDSTREAM[pair].pieces))
    texts = []

    async def read() -> None:
        asked = {"model": pair.model, "max_tokens": 50, "messages": QUESTION}
        async with claude.messages.stream(**asked) as stream:
            async for text in stream.text_stream:
                texts.append(text)

    with pytest.raises(anthropic.APIStatusError) as told:
        await read()

    assert "".join(texts).startswith("Some words")
    assert told.value.type in ("api_error", "overloaded_error")
    assert (await house.record()).status == "failed"


@over_claudes
async def test_a_stream_that_is_cut_is_no_answer(house, claude, pair):
    house.upstream.answers(broken_off(pair))
    with pytest.raises(anthropic.APIStatusError) as told:
        await ask(claude, pair=pair, streams=True)

    assert told.value.type == "api_error"
    record = await house.record()
    assert record.status == "failed"
    assert record.completion_tokens > 0


async def test_an_error_before_the_first_word_is_an_error_answer(house, claude):
    house.upstream.answers(MIDSTREAM[CHAT])
    with pytest.raises(anthropic.InternalServerError) as told:
        await ask(claude, streams=True)

    assert told.value.status_code == 502


@over_claudes
async def test_pings_bridge_a_silence(house, claude, monkeypatch, pair):
    monkeypatch.setattr(house.gateway.runtime, "ping_after_s", 0.05)
    error = error_of(pair, "overloaded_error", "too many", 529)
    whole = answer_to(FakeRequest(pair), Said("Late."))
    house.upstream.answers(
        replace(whole, begins_after=(first := asyncio.Event())),
        replace(json_answer(error, status=529), begins_after=(second := asyncio.Event())),
    )
    async with anthropic.DefaultAsyncHttpxClient(**at_each_head(first, second)) as http:
        claude = claude.with_options(http_client=http)
        message = await ask(claude, streams=True, pair=pair)
        # The pings have begun a stream, so that the error is told inside it.
        with pytest.raises(anthropic.APIStatusError) as told:
            await ask(claude, streams=True, pair=pair)

    assert message.content[0].text == "Late."
    assert (told.value.status_code, told.value.type) == (200, "overloaded_error")


@over_claudes
async def test_the_upstream_is_left_when_the_client_leaves(house, claude, pair):
    whole = answer_to(FakeRequest(pair), Said("Some words and more"))
    pieces = whole.pieces[: len(whole.pieces) // 2]
    house.upstream.answers(Answer(pieces, headers=whole.headers, ending="stall"))
    async with claude.messages.stream(model=pair.model, max_tokens=50, messages=QUESTION) as stream:
        async for _text in stream.text_stream:
            break

    record = await house.record()
    assert record.status == "client_closed"
    (seen,) = house.upstream.requests
    await seen.left()


async def test_a_client_that_waits_no_longer_leaves_no_work_behind(house, claude):
    house.upstream.answers(Answer(ending="stall", status=0))
    with pytest.raises(anthropic.APITimeoutError):
        await ask(claude.with_options(timeout=anthropic.Timeout(PATIENCE_S, read=1)))

    assert (await house.record()).status == "client_closed"
