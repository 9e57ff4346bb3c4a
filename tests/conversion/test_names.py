"""Patterns in which a star stands for any text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.names import matches, matches_any


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("ab*ba", "aba", False),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "aXYc", False),
        ("*", "", True),
    ],
)
def test_what_fits(pattern, name, fits):
    assert matches(pattern, name) is fits
    assert matches_any(("odd", pattern), name) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_it_fits_as_a_regular_expression_would(pattern, name):
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))

    assert matches(pattern, name) is (re.fullmatch(expression, name) is not None)
