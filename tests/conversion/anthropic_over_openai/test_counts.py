import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.anthropic_over_openai import counts
from conversion.anthropic_over_openai.counts import (
    read_usage,
    with_cache_lifetime,
    with_estimates,
    write_usage,
)
from conversion.usage import Usage


def read(usage, **members) -> Usage | None:
    answer = {"usage": {"prompt_tokens": 10, "completion_tokens": 5, **usage}, **members}
    return read_usage(answer, orjson.dumps(answer))


@pytest.mark.parametrize(
    "digits", ["0.00000000000000000001234567890123456789", "3e-7", "0", "12.50", '"0.10"']
)
def test_cost_is_exact_to_the_digit(digits):
    raw = b'{"usage":{"prompt_tokens":1,"cost":%b}}' % digits.encode()
    usage = read_usage(orjson.loads(raw), raw)
    assert usage is not None
    assert usage.cost_usd == Decimal(digits.strip('"'))


@pytest.mark.parametrize(
    "cost", [-1, None, True, "much", "NaN", {}, "1e-999999", "0e-999999", "1e999999", "1e10"]
)
def test_what_is_no_cost_is_none(cost):
    usage = read({"cost": cost})
    assert usage is not None
    assert usage.cost_usd is None


@pytest.mark.parametrize(
    ("cost", "upstream_cost"),
    [(b'"sNaN"', b"1"), (b"1", b'"sNaN"'), (b'"9e999999"', b'"9e999999"')],
)
def test_what_adds_up_to_no_cost_is_none(cost, upstream_cost):
    raw = (
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2,"is_byok":true,"cost":%b,'
        b'"cost_details":{"upstream_inference_cost":%b}}}'
    ) % (cost, upstream_cost)
    assert read_usage(orjson.loads(raw), raw) == Usage(prompt_tokens=1, completion_tokens=2)


@pytest.mark.parametrize("cost", [b"", b',"cost":1'])
def test_tokens_are_read_beside_what_is_nested_as_deeply_as_json_is_read(cost):
    """The decoder of usages goes less deep than that of answers: 1,000 levels, less those of the calls that led to it."""
    raw = b'{"x":%b,"usage":{"prompt_tokens":1,"completion_tokens":2%b}}' % (
        b"[" * 1015 + b"]" * 1015,
        cost,
    )
    assert read_usage(orjson.loads(raw), raw) == Usage(prompt_tokens=1, completion_tokens=2)


@pytest.mark.parametrize("count", [b"1e30", b"18446744073709551615", b"9007199254740992"])
def test_a_figure_beyond_all_counts_is_none(count):
    raw = b'{"usage":{"prompt_tokens":%b,"completion_tokens":2}}' % count
    assert read_usage(orjson.loads(raw), raw) == Usage(completion_tokens=2)


@pytest.mark.parametrize("cost", [None, 0.25])
def test_cost_is_read_beside_a_figure_that_is_none(cost):
    usage = read({"prompt_tokens": "many", "cost": cost})
    assert usage == Usage(completion_tokens=5, cost_usd=cost and Decimal("0.25"))


def test_cost_is_not_trusted_to_be_where_the_count_was_found():
    raw = b'{"usage":null,"x_groq":{"usage":{"prompt_tokens":1,"cost":1}}}'
    assert read_usage(orjson.loads(raw), raw) == Usage(prompt_tokens=1)


@pytest.mark.parametrize(
    ("usage", "read_tokens", "written_tokens"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}}, 3, 2),
        ({"prompt_tokens_details": {"cached_tokens": 3, "cache_creation_tokens": 2}}, 3, 2),
        ({"cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}, 3, 2),
        ({"prompt_cache_hit_tokens": 3}, 3, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 3}, 0, None),
        ({"prompt_tokens_details": {"cached_tokens": None}}, None, None),
    ],
)
def test_cached_tokens_are_found_in_each_spelling(usage, read_tokens, written_tokens):
    found = read(usage)
    assert found is not None
    assert (found.cache_read_tokens, found.cache_write_tokens) == (read_tokens, written_tokens)


@pytest.mark.parametrize("count", [True, "5", -5, None, [], {}])
def test_what_is_no_count_is_none(count):
    usage = read({"completion_tokens": count})
    assert usage is not None
    assert usage.completion_tokens is None


def test_whole_float_is_a_count():
    usage = read({"completion_tokens": 5.0})
    assert usage is not None
    assert usage.completion_tokens == 5


def test_reported_usage_is_not_estimated():
    usage = Usage(prompt_tokens=1, completion_tokens=2)
    assert with_estimates(usage, prompt_tokens=9, answer_chars=9) is usage


def test_missing_prompt_tokens_are_estimated():
    usage = with_estimates(Usage(completion_tokens=2), prompt_tokens=9, answer_chars=9)
    assert usage == Usage(prompt_tokens=9, completion_tokens=2, estimated=True)


def test_lifetime_told_by_the_upstream_is_kept():
    details = {
        "cache_creation_tokens": 30,
        "cache_creation_token_details": {"ephemeral_1h_input_tokens": 10},
    }
    usage = read({"prompt_tokens": 100, "prompt_tokens_details": details})
    assert usage is not None
    assert with_cache_lifetime(usage, one_hour_asked=True).cache_write_1h_tokens == 10
    assert write_usage(usage)["cache_creation"] == {
        "ephemeral_5m_input_tokens": 20,  # 30 - 10
        "ephemeral_1h_input_tokens": 10,
    }


COUNTS = st.one_of(
    st.integers(0, 9),
    st.none(),
    st.sampled_from([True, "5", -5, 5.0, 5.5, 2**70, [], {}]),
)


def some(names, values):
    """Objects with some of the names."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names.split(), values))


PROMPT_DETAILS = st.builds(
    lambda plain, lifetimes: {**plain, **({"cache_creation_token_details": lifetimes} if lifetimes else {})},
    some("cached_tokens cache_write_tokens cache_creation_tokens", COUNTS),
    some("ephemeral_1h_input_tokens", COUNTS) | COUNTS,
)  # fmt: skip
USAGES = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9), "completion_tokens": COUNTS}),
    some("total_tokens cache_read_input_tokens prompt_cache_hit_tokens cache_creation_input_tokens", COUNTS),
    some("prompt_tokens_details", PROMPT_DETAILS | COUNTS),
    some("completion_tokens_details", some("reasoning_tokens", COUNTS) | COUNTS),
    some("cost", COUNTS), some("is_byok", st.booleans() | COUNTS),
    some("cost_details", some("upstream_inference_cost", COUNTS) | COUNTS),
)  # fmt: skip


@given(USAGES)
def test_reading_in_one_go_finds_what_reading_leniently_finds(usage):
    answer = {"usage": usage}
    raw = json.dumps(answer).encode()  # orjson writes no number of more than 64 bits
    assert read_usage(answer, raw) == counts._read_leniently(answer, raw)
