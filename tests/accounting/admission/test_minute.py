"""Tests of accounting/admission/minute.py: what was counted within a minute."""

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.admission.minute import MinuteWindow


def test_amounts_leave_a_minute_after_their_second():
    window = MinuteWindow()
    window.add(3, 10)
    window.add(4, 11)

    assert window.forget(70.9) == 7
    assert window.forget(71.0) == 4
    assert window.forget(72.0) == 0


def test_a_correction_counts_as_long_as_its_amount_does():
    window = MinuteWindow()
    second = 10
    window.add(100, second)
    window.add(1, 11)
    window.correct(second, -60, 30)
    assert window.forget(30) == 41  # 100 - 60 + 1

    window.forget(71)
    window.correct(second, -40, 71)
    assert window.forget(71) == 1


def test_the_wait_is_until_enough_has_left():
    window = MinuteWindow()
    for now_s in (10, 20, 30):
        window.add(2, floor(now_s))

    assert window.wait_s(1, 7, 30.5) == 0
    assert window.wait_s(1, 6, 30.5) == 40.5  # those of 10 leave at 71
    assert window.wait_s(3, 6, 30.5) == 50.5
    assert window.stand(30.5)[1] == 60.5
    assert MinuteWindow().wait_s(1, 6, 5) == 0
    assert MinuteWindow().stand(5)[1] == 0


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=60),
    st.integers(1, 20),
)
def test_no_sixty_seconds_hold_more_than_the_limit(steps, limit):
    window, now_s, let_in = MinuteWindow(), 0.0, []
    for wait_s, amount in steps:
        now_s += wait_s
        if window.forget(now_s) + amount <= limit:
            window.add(amount, floor(now_s))
            let_in.append((now_s, amount))
    for begin_s, _amount in let_in:
        held = sum(amount for at_s, amount in let_in if begin_s <= at_s < begin_s + 60)
        assert held <= limit


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=30))
def test_after_the_wait_there_is_room(steps):
    window, now_s = MinuteWindow(), 0.0
    for wait_s, amount in steps:
        now_s += wait_s
        window.add(amount, floor(now_s))
    limit = 5
    window.forget(now_s)
    later_s = now_s + window.wait_s(3, limit, now_s)
    assert window.forget(later_s + 1e-6) + 3 <= limit


@pytest.mark.parametrize("amount", [0, 5])
def test_the_memory_of_a_window_is_bounded(amount):
    window = MinuteWindow()
    for step in range(10_000):
        window.add(amount, step // 10)
        window.forget(step / 10)
    assert len(window._seconds) <= 62
