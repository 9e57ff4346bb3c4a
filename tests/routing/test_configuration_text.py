"""Tests of routing/configuration/text.py: the configuration as YAML, written anew only where it changed."""

from copy import deepcopy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from routing.configuration import text
from routing.configuration.text import write_text

TREE = {
    "providers": {
        "openrouter": {"kind": "openrouter", "notes": "two\nlines", "retry": [429, 503]},
        "on": {"kind": "demo", "parameters": {"n": 1}},
    },
    "aliases": {},
    "transformations": [{"scope": "alias", "pattern": "a: 'b'"}],
    "flags": {"live_view": True},
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
trees = st.dictionaries(
    st.sampled_from(["providers", "aliases", "flags", "tiers", "transformations"]),
    st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4)
    | st.lists(values, max_size=3),
)


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(text._Kept, "texts", {})


def whole(tree):
    return yaml.dump(tree, Dumper=text._Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def test_it_reads_as_if_it_were_written_in_one():
    assert write_text(TREE) == whole(TREE)


@given(st.lists(trees, min_size=1, max_size=3))
def test_whatever_was_written_before_it_says_what_is_there_now(some):
    for tree in some:
        assert yaml.safe_load(write_text(tree)) == (tree or None)


@pytest.mark.parametrize(
    ("value", "told"), [(True, "true"), (1.0, "1.0"), ("1", "'1'"), (2, "2"), (None, "null")]
)
def test_a_change_that_compares_as_equal_is_seen(value, told):
    write_text(TREE)
    tree = deepcopy(TREE)
    tree["providers"]["on"]["parameters"]["n"] = value

    assert f"n: {told}\n" in write_text(tree)
    assert write_text(tree) == whole(tree)


def test_only_what_has_changed_is_written(monkeypatch):
    write_text(TREE)
    dumped = []
    monkeypatch.setattr(text, "_dump", lambda tree: dumped.append(tree) or whole(tree))
    tree = deepcopy(TREE)
    tree["providers"]["on"]["kind"] = "ollama"

    write_text(tree)

    entries = [entry for tree in dumped for entry in tree.get("providers", None) or {}]
    assert entries == ["on"]


def test_what_is_gone_is_not_kept():
    write_text(TREE)
    write_text({"flags": {"live_view": True}})

    assert list(text._Kept.texts) == [("flags", "live_view")]
