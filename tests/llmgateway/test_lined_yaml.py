"""What a file of YAML may not do to its reader."""

import time

import pytest

from llmgateway.lined_yaml import NODES_MAX, BadYaml, load

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


def test_what_is_said_once_may_be_repeated():
    assert load("a: &a {b: 1}\nc: [*a, *a]\n") == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}
    assert load("") is None


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: &a {b: {c: *a}}\n"])
def test_aliases_that_stand_for_more_than_can_be_read_are_refused_at_once(text):
    began_s = time.process_time()
    with pytest.raises(BadYaml, match=f"more than {NODES_MAX} values, or themselves"):
        load(text)
    assert time.process_time() - began_s < 1


def test_what_is_nested_too_deeply_is_refused():
    with pytest.raises(BadYaml, match="nested too deeply"):
        load("[" * 5000 + "]" * 5000)
