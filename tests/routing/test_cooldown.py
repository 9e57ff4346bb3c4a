"""Skipping what keeps failing, and trying it again."""

import pytest

from conversion.errors import (
    UpstreamBroken,
    UpstreamOutOfCredit,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnauthorized,
)
from routing.cooldown import PROBE_S, Cooldowns, Policy
from routing.live import SESSIONS_MAX, Sessions
from routing.upstream.errors import UpstreamUnreachable

POLICY = Policy(after=3, first_s=5, longest_s=15)
BROKEN = UpstreamBroken("no")


def failed_times(count: int, *, at_s: float = 100.0, policy: Policy = POLICY) -> Cooldowns:
    cooldowns = Cooldowns()
    for _ in range(count):
        cooldowns.failed(1, BROKEN, policy, at_s)
    return cooldowns


def test_several_failures_in_a_row_begin_a_cooldown():
    assert not failed_times(2).is_skipped(1, 100)
    cooldowns = failed_times(3)

    assert cooldowns.is_skipped(1, 104.9)
    assert not cooldowns.is_skipped(1, 105)
    assert not cooldowns.is_skipped(2, 100)
    assert cooldowns.remaining_s(1, 101) == 4
    assert cooldowns.state(101) == {1: (4.0, 3, "UpstreamBroken")}
    assert cooldowns.remaining_s(2, 101) == 0


def test_one_success_forgets_all():
    cooldowns = failed_times(2)
    cooldowns.succeeded(1)
    cooldowns.succeeded(1)
    cooldowns.failed(1, BROKEN, POLICY, 100)

    assert not cooldowns.is_skipped(1, 100)
    assert cooldowns.state(100) == {}


def test_one_probe_goes_ahead_while_the_others_wait_for_it():
    cooldowns = failed_times(3)
    cooldowns.begin(1, 104)
    assert not cooldowns.is_skipped(1, 106)
    cooldowns.begin(1, 106)

    assert cooldowns.is_skipped(1, 107)
    assert not cooldowns.is_skipped(1, 106 + PROBE_S)
    cooldowns.succeeded(1)
    assert not cooldowns.is_skipped(1, 107)


def test_a_probe_that_fails_doubles_the_cooldown_up_to_a_limit():
    cooldowns = failed_times(3)
    for begins_s, lasts_s in ((105, 10), (115, 15), (130, 15)):
        cooldowns.begin(1, begins_s)
        cooldowns.failed(1, BROKEN, POLICY, begins_s)
        assert cooldowns.remaining_s(1, begins_s) == lasts_s


def test_requests_that_fail_together_begin_one_cooldown():
    cooldowns = failed_times(20)
    assert cooldowns.remaining_s(1, 100) == 5
    assert cooldowns.state(100) == {1: (5.0, 20, "UpstreamBroken")}

    cooldowns.begin(1, 105)
    cooldowns.failed(1, BROKEN, POLICY, 105)
    assert cooldowns.remaining_s(1, 105) == 10


def test_rate_limits_that_come_together_are_obeyed_and_counted_once():
    cooldowns = Cooldowns()
    for wait_s in (3, 2, 4):
        cooldowns.failed(1, UpstreamRateLimited("no", retry_after_s=wait_s), POLICY, 100)
    assert cooldowns.remaining_s(1, 100) == 4

    cooldowns.failed(1, BROKEN, POLICY, 104)
    assert cooldowns.remaining_s(1, 104) == 10


def test_a_probe_that_fails_for_its_own_fault_lets_the_next_one_through():
    cooldowns = failed_times(3)
    cooldowns.begin(1, 106)
    cooldowns.failed(1, UpstreamRejected("odd"), POLICY, 107)

    assert not cooldowns.is_skipped(1, 107)
    cooldowns.begin(1, 107)
    assert cooldowns.is_skipped(1, 108)


def test_a_rate_limit_with_a_time_is_obeyed_at_once():
    cooldowns = Cooldowns()
    cooldowns.failed(1, UpstreamRateLimited("slow down", retry_after_s=7), POLICY, 100)

    assert cooldowns.remaining_s(1, 100) == 7
    cooldowns.failed(2, UpstreamRateLimited("slow down", retry_after_s=700), POLICY, 100)
    assert cooldowns.remaining_s(2, 100) == 15


def test_a_fault_of_the_request_says_nothing_about_the_deployment():
    cooldowns = Cooldowns()
    for _ in range(9):
        cooldowns.failed(1, UpstreamRejected("odd"), POLICY, 100)

    assert not cooldowns.is_skipped(1, 100)


def test_zero_failures_are_never():
    assert not failed_times(99, policy=Policy(after=0)).is_skipped(1, 100)


def test_network_errors_count():
    cooldowns = Cooldowns()
    cooldowns.failed(1, UpstreamUnreachable("gone"), Policy(after=1), 100)

    assert cooldowns.is_skipped(1, 101)


@pytest.mark.parametrize(
    ("error", "rests_s"),
    [
        (UpstreamUnauthorized("no"), 300),
        (UpstreamOutOfCredit("no"), 300),
        (UpstreamRateLimited("no"), 30),
        (UpstreamRateLimited("no", retry_after_s=3), 3),
    ],
)
def test_a_credential_rests_after_a_failure_that_is_about_it(error, rests_s):
    cooldowns = Cooldowns()

    assert cooldowns.rest_credential(7, error, 100)
    assert cooldowns.rest_left_s(7, 100 + rests_s - 0.1)
    assert cooldowns.resting(100) == {7: (rests_s, type(error).__name__)}
    assert not cooldowns.rest_left_s(7, 100 + rests_s)
    assert not cooldowns.rest_left_s(7, 100)
    assert not cooldowns.rest_left_s(8, 100)


def test_other_failures_are_not_about_the_credential():
    cooldowns = Cooldowns()

    assert not cooldowns.rest_credential(7, BROKEN, 100)
    assert cooldowns.resting(100) == {}


def test_sessions_heard_of_long_ago_are_forgotten():
    sessions = Sessions()
    for number in range(SESSIONS_MAX + 1):
        sessions.note(1, f"s-{number}", number)

    assert sessions.last(1, "s-0") is None
    assert sessions.last(1, f"s-{SESSIONS_MAX}") == SESSIONS_MAX
