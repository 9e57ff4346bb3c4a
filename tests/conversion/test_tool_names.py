import re
import time

from hypothesis import given
from hypothesis import strategies as st

from conversion.tool_names import ToolNames

LEGAL = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)


def test_legal_names_stay():
    names = ToolNames(64)
    assert names.to_upstream("get_weather-2") == "get_weather-2"
    assert names.client_names == {}


def test_the_same_name_becomes_the_same_in_each_request():
    assert ToolNames(64).to_upstream("my.tool") == ToolNames(64).to_upstream("my.tool")


def test_a_tool_that_is_called_like_an_alias_keeps_its_name():
    alias = ToolNames(64).to_upstream("my.tool")
    names = ToolNames(64)
    assert names.to_upstream(alias) == alias
    assert names.to_upstream("my.tool") != alias
    behind = ToolNames(64)
    assert behind.to_upstream("my.tool") == alias
    assert behind.client_names[behind.to_upstream(alias)] == alias


def test_a_name_of_ten_megabytes_is_shortened_at_once():
    taken_s = []
    for _ in range(3):
        began = time.process_time()
        told = ToolNames(64).to_upstream("x " * 5_000_000)
        taken_s.append(time.process_time() - began)

    assert LEGAL.fullmatch(told)
    assert min(taken_s) < 0.5  # a hash of it, and no look at each character


@given(st.lists(st.text(max_size=80), unique=True))
def test_every_name_is_legal_and_leads_back(given_names):
    names = ToolNames(64)
    told = [names.to_upstream(name) for name in given_names]
    assert all(LEGAL.fullmatch(name) for name in told)
    assert len(set(told)) == len(told)
    assert [names.client_names.get(name, name) for name in told] == given_names
    assert [names.to_upstream(name) for name in given_names] == told
