import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion import errors
from conversion.anthropic_over_openai.errors import read_error, read_error_value
from conversion.anthropic_over_openai.overflow import WITHOUT_NUMBERS, read_overflow


def body(**error) -> bytes:
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.UpstreamRejected),
        (401, errors.UpstreamUnauthorized),
        (402, errors.UpstreamOutOfCredit),
        (403, errors.UpstreamUnauthorized),
        (404, errors.UpstreamModelUnknown),
        (405, errors.UpstreamRejected),
        (408, errors.UpstreamTimedOut),
        (413, errors.UpstreamTooLarge),
        (422, errors.UpstreamRejected),
        (429, errors.UpstreamRateLimited),
        (500, errors.UpstreamBroken),
        (502, errors.UpstreamBroken),
        (503, errors.UpstreamOverloaded),
        (504, errors.UpstreamTimedOut),
        (529, errors.UpstreamOverloaded),
    ],
)
def test_status_decides(status, kind):
    error = read_error(status, body(message="No.", code=status), 7.0)
    assert type(error) is kind
    assert error.message == "No."
    assert error.upstream_status == status
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, errors.UpstreamOutOfCredit),
        (400, {"code": "model_not_found"}, errors.UpstreamModelUnknown),
        (400, {"code": "content_policy_violation"}, errors.UpstreamForbidden),
        (400, {"code": "content_filter", "type": None}, errors.UpstreamForbidden),
        (401, {"code": "invalid_api_key", "type": "invalid_request_error"}, errors.UpstreamUnauthorized),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, errors.UpstreamRateLimited),
        (500, {"type": "overloaded_error"}, errors.UpstreamOverloaded),
        (403, {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x"}}, errors.UpstreamForbidden),
        (403, {"code": 403, "metadata": {"error_type": "region_restricted"}}, errors.UpstreamUnauthorized),
        (429, {"code": 429, "metadata": {"error_type": "capacity_exhausted"}}, errors.UpstreamRateLimited),
        (400, {"code": "context_length_exceeded"}, errors.PromptTooLong),
        (400, {"status": "INVALID_ARGUMENT", "code": 400}, errors.UpstreamRejected),
        (None, {"code": "server_error"}, errors.UpstreamBroken),
        (None, {"code": "rate_limit_exceeded"}, errors.UpstreamRateLimited),
        (None, {"type": "invalid_request_error"}, errors.UpstreamRejected),
        (None, {"code": "503"}, errors.UpstreamOverloaded),
        (None, {"code": 429}, errors.UpstreamRateLimited),
        (200, {"code": 402}, errors.UpstreamOutOfCredit),
        (None, {"code": "something_new"}, errors.UpstreamBroken),
        (None, {"code": True}, errors.UpstreamBroken),
        (None, {}, errors.UpstreamBroken),
    ],
)  # fmt: skip
def test_words_and_codes_decide(status, error, kind):
    assert type(read_error(status, body(message="No.", **error))) is kind


def test_code_of_the_upstream_is_kept():
    error = read_error(429, body(message="No.", code="insufficient_quota", type="x"))
    assert error.upstream_code == "insufficient_quota"


def test_error_of_the_provider_behind_openrouter_is_told():
    raw = json.dumps(
        {"error": {"message": "Invalid schema for function 'f'", "type": "invalid_request_error"}}
    )
    error = read_error(
        400,
        body(message="Provider returned error", code=400, metadata={"raw": raw, "provider_name": "OpenAI"}),
    )  # fmt: skip
    assert type(error) is errors.UpstreamRejected
    assert error.message == "OpenAI: Invalid schema for function 'f'"


def test_text_of_the_provider_behind_openrouter_is_told():
    error = read_error(
        502,
        body(
            message="Provider returned error",
            metadata={"raw": "upstream gone", "provider_name": "Acme"},
        ),
    )
    assert error.message == "Acme: upstream gone"


def test_name_of_the_provider_is_not_put_before_openrouters_own_sentence():
    error = read_error(502, body(message="Model down", metadata={"provider_name": "Acme"}))
    assert error.message == "Model down"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"error":"model requires more memory"}', "model requires more memory"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "field required"),
        (b'{"detail":{"error":{"message":"No."}}}', "No."),
        (b'[{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}]', "No."),
        (b'{"errors":[{"message":"No."}]}', "No."),
        (b'{"object":"error","message":"No.","code":400}', "No."),
        (b'{"message":"No.","request_id":"r"}', "No."),
        (b'{"error":{"message":"{\\"error\\":{\\"message\\":\\"in vain\\"}}"}}', '{"error":{"message":"in vain"}}'),
        (b'"No."', "No."),
        (b"{half", "{half"),
        (b"error code: 502", "error code: 502"),
        (b"two\r\nlines\x00 \x1b[31m", "two lines [31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", "the upstream failed without saying why (status 400)"),
        (b"{}", "the upstream failed without saying why (status 400)"),
        (b"17", "the upstream failed without saying why (status 400)"),
        (b"<html><h1>Bad</h1></html>", "the upstream failed without saying why (status 400)"),
        (b'{"error":{"message":" <!DOCTYPE html>"}}', "the upstream failed without saying why (status 400)"),
    ],
)  # fmt: skip
def test_sentence_is_found_in_every_shape(raw, message):
    assert read_error(400, raw).message == message


def test_silence_without_a_status():
    assert read_error(None, b"").message == "the upstream failed without saying why"


@pytest.mark.parametrize(
    ("told", "safe"),
    [
        ("Incorrect API key provided: sk-proj-abcdef****wxyz.", "Incorrect API key provided: sk-…"),
        ("bad header Bearer abcdefgh123", "bad header Bearer …"),
        ("key AIzaSyA1234567890 is wrong", "key AIza… is wrong"),
        ("ask-anything-else-please", "ask-anything-else-please"),
    ],
)
def test_what_looks_like_a_key_is_masked(told, safe):
    assert read_error(401, body(message=told)).message == safe


def test_message_is_cut():
    message = read_error(400, body(message="x" * 2000)).message
    assert len(message) == 500
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [({"retry_after": 3}, 3.0), ({"retry_after_seconds": 0.5}, 0.5), ({"retry_after": True}, None), ({}, None)],
)  # fmt: skip
def test_time_to_wait_is_read_from_the_body(metadata, seconds):
    error = read_error(429, body(message="No.", metadata=metadata))
    assert error.retry_after_s == seconds


def test_endless_nesting_is_left_alone():
    value: dict = {"message": "inner"}
    for _ in range(50):
        value = {"error": value}
    assert read_error_value(value).message == "the upstream failed without saying why"


BOTH = "input length and `max_tokens` exceed context limit: {} + {} > {}, decrease input length or `max_tokens` and try again"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (  # OpenAI
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 10123 tokens (9000 in the messages, 1123 in the functions). Please reduce the length of the messages or functions.",
            "prompt is too long: 10123 tokens > 8192 maximum",
        ),
        (  # OpenAI, vLLM: the prompt alone is too long
            "This model's maximum context length is 4096 tokens. However, you requested 6000 tokens (5000 in the messages, 1000 in the completion).",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (  # OpenAI, vLLM: the prompt would fit
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, 1000 in the completion).",
            BOTH.format(4000, 1000, 4096),
        ),
        (  # OpenRouter
            'This endpoint\'s maximum context length is 131072 tokens. However, you requested about 140000 tokens (124000 of text input, 14000 of tool input, 2000 in the output). Please reduce the length of either one, or use the "middle-out" transform',
            "prompt is too long: 138000 tokens > 131072 maximum",
        ),
        (  # OpenAI, newest
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            WITHOUT_NUMBERS,
        ),
        (  # OpenAI
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens. Please reduce the length of the messages.",
            "prompt is too long: 300000 tokens > 272000 maximum",
        ),
        (  # vLLM
            "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).",
            BOTH.format(5000, 32000, 32768),
        ),
        (  # vLLM
            "You passed 10000 input tokens and requested 1000 output tokens. However, the model's context length is only 8192 tokens, resulting in a maximum input length of 7192 tokens.",
            "prompt is too long: 10000 tokens > 8192 maximum",
        ),
        (  # vLLM
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (  # text-generation-inference
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
            WITHOUT_NUMBERS,
        ),
        (  # LiteLLM
            "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - too much",
            WITHOUT_NUMBERS,
        ),
        (  # Anthropic
            "prompt is too long: 210000 tokens > 200000 maximum",
            "prompt is too long: 210000 tokens > 200000 maximum",
        ),
        (  # Anthropic
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again",
            BOTH.format(190000, 20000, 200000),
        ),
        ("Input is too long for requested model.", WITHOUT_NUMBERS),  # Bedrock
        (  # Gemini
            "The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1200000 tokens > 1048576 maximum",
        ),
        (  # llama.cpp
            "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (  # llama.cpp, older
            "the request exceeds the available context size. try increasing the context size",
            WITHOUT_NUMBERS,
        ),
        ("the input length exceeds the context length", WITHOUT_NUMBERS),  # Ollama
        ("prompt too long; exceeded max context length by 500 tokens", WITHOUT_NUMBERS),  # Ollama
        (  # Mistral
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "prompt is too long: 40000 tokens > 32768 maximum",
        ),
        (  # xAI
            "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
            "prompt is too long: 140000 tokens > 131072 maximum",
        ),
        (  # Cohere
            "too many tokens: total number of tokens in the prompt cannot exceed 4081 tokens - received 5000.",
            "prompt is too long: 5000 tokens > 4081 maximum",
        ),
        ("Invalid value for temperature", None),
        ("Token limit reached", None),
    ],
)
def test_overflow_is_said_in_the_words_that_clients_act_on(told, said):
    assert read_overflow(told) == said
    error = read_error(400, body(message=told))
    if said is None:
        assert type(error) is errors.UpstreamRejected
    else:
        assert type(error) is errors.PromptTooLong
        assert error.message == said


def test_overflow_behind_openrouter_is_found():
    raw = json.dumps(
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "prompt is too long: 210000 tokens > 200000 maximum",
            },
        }
    )
    error = read_error(400, body(message="Provider returned error", metadata={"raw": raw}))  # fmt: skip
    assert type(error) is errors.PromptTooLong
    assert error.message == "prompt is too long: 210000 tokens > 200000 maximum"


def test_rate_limit_is_no_overflow_whatever_it_says():
    error = read_error(429, body(message="tokens per minute: exceeds the context length"))
    assert type(error) is errors.UpstreamRateLimited


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner)
    | st.dictionaries(
        st.sampled_from(["error", "message", "code", "type", "metadata", "raw", "detail", "status"]),
        inner,
    ),
)  # fmt: skip


@given(JSON)
def test_any_value_is_read_as_some_error(value):
    error = read_error_value(value)
    assert error.message
    assert len(error.message) <= 500


@given(st.binary())
def test_any_body_is_read_as_some_error(raw):
    assert read_error(500, raw).message
