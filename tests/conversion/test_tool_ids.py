import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.tool_ids import PREFIX, to_client, to_upstream

LEGAL = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)


def test_legal_id_passes_both_ways():
    assert to_client("call_Abc-1") == "call_Abc-1"
    assert to_upstream("call_Abc-1", 40) == "call_Abc-1"


def test_illegal_id_travels_inside_a_legal_one():
    client_id = to_client("functions.read:0")
    assert LEGAL.fullmatch(client_id)
    assert to_upstream(client_id, 40) == "functions.read:0"


@given(st.text(min_size=1, max_size=100))
def test_any_id_is_legal_for_the_client_and_comes_back(upstream_id):
    client_id = to_client(upstream_id)
    assert LEGAL.fullmatch(client_id)
    assert to_upstream(client_id, 100) == upstream_id


def test_id_that_looks_encoded_comes_back():
    looks = PREFIX + "abc"
    assert to_upstream(to_client(looks), 40) == looks


@pytest.mark.parametrize("damaged", [PREFIX, PREFIX + "a", PREFIX + "_w", PREFIX + "ä"])
def test_damaged_id_is_left_as_it_is(damaged):
    assert to_upstream(damaged, 40) == damaged


def test_long_id_is_shortened_the_same_way_each_time():
    short = to_upstream("toolu_" + "x" * 50, 40)
    assert len(short) == 40
    assert LEGAL.fullmatch(short)
    assert short == to_upstream("toolu_" + "x" * 50, 40)
    assert short != to_upstream("toolu_" + "x" * 51, 40)


def test_long_id_of_the_upstream_itself_is_shortened_too():
    assert len(to_upstream(to_client("f." + "x" * 50), 40)) == 40
