"""When to ask again: what the upstream says, and what the provider's policy makes of it."""

import random
from datetime import UTC, datetime

import pytest

from accounting.errors import JournalUnwritable
from conversion.errors import (
    GatewayError,
    RequestInvalid,
    UpstreamBroken,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamStreamCut,
    UpstreamUnauthorized,
)
from llmgateway.passing import read_retry_after
from llmgateway.pipeline import wait_before_repeat
from routing.pictures import RetryPolicy
from routing.upstream.errors import TotalTimeout, UpstreamTlsFailed, UpstreamUnreachable

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
POLICY = RetryPolicy(
    retries_max=3,
    backoff_s=1.0,
    backoff_max_s=3.0,
    statuses=frozenset({429, 503}),
    network_errors=True,
)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "30"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:10 GMT"}, 10.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:10 -0000"}, 10.0),  # no zone is UTC
        ({"retry-after": "Fri, 20 Nov 2026 13:00:10 +0100"}, 10.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:59:50 GMT"}, None),  # over
        ({"retry-after": "-5"}, None),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "86401"}, None),  # more than a day is nothing to wait for
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1 hour"}, None),
        ({"retry-after": "   "}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "nan"}, None),
    ],
)
def test_the_wait_is_read_in_each_of_its_spellings(headers, wait_s):
    assert read_retry_after(headers, now=NOW) == wait_s


def wait_for(error: GatewayError, repeat: int = 0, policy: RetryPolicy = POLICY) -> float | None:
    return wait_before_repeat(policy, error, repeat, random.Random(1))


@pytest.mark.parametrize(
    ("repeat", "ceiling_s"),
    [(0, 1.0), (1, 2.0), (2, 3.0)],  # doubled each time, 4 cut to the longest wait of 3
)
def test_waits_double_and_are_spread_over_their_upper_half(repeat, ceiling_s):
    dice = random.Random(1)
    error = UpstreamUnreachable("refused")

    waits = [wait_before_repeat(POLICY, error, repeat, dice) or 0.0 for _ in range(200)]

    assert ceiling_s / 2 <= min(waits) < ceiling_s * 0.6
    assert ceiling_s * 0.9 < max(waits) <= ceiling_s


def test_after_the_last_repeat_it_is_over():
    assert wait_for(UpstreamUnreachable("refused"), 2) is not None
    assert wait_for(UpstreamUnreachable("refused"), 3) is None


@pytest.mark.parametrize(
    "error",
    [
        RequestInvalid("no"),
        UpstreamUnauthorized("no", upstream_status=429),
        UpstreamTlsFailed("no"),
        TotalTimeout("no"),
    ],
)
def test_what_would_fail_again_is_not_repeated(error):
    assert wait_for(error) is None


def test_a_status_is_repeated_when_the_provider_lists_it():
    assert wait_for(UpstreamRateLimited("slow", upstream_status=429)) is not None
    assert wait_for(UpstreamBroken("broken", upstream_status=500)) is None
    assert wait_for(UpstreamBroken("broken")) is None  # none was told


def test_network_errors_are_repeated_unless_the_provider_says_no():
    without = RetryPolicy(3, 1.0, 3.0, frozenset({429}), network_errors=False)

    assert wait_for(UpstreamUnreachable("refused"), policy=without) is None
    assert wait_for(UpstreamRateLimited("slow", upstream_status=429), policy=without) is not None
    assert wait_for(UpstreamInvalid("garbage"), policy=without) is not None
    assert wait_for(UpstreamStreamCut("cut"), policy=without) is not None


def test_the_upstreams_own_wait_is_kept_exactly():
    error = UpstreamRateLimited("slow", upstream_status=429, retry_after_s=2.5)

    assert wait_for(error) == 2.5


def test_a_wait_longer_than_the_longest_is_left_to_the_client():
    error = UpstreamRateLimited("slow", upstream_status=429, retry_after_s=3.1)

    assert wait_for(error) is None


def test_a_wait_of_zero_is_no_wait():
    assert wait_for(UpstreamRateLimited("slow", upstream_status=429, retry_after_s=0)) == 0


def test_an_attempt_that_could_not_be_noted_is_tried_again():
    assert wait_for(JournalUnwritable("full", retry_after_s=1)) == 1
