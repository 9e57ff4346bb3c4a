"""What a synchronisation would change; no row is read or written."""

import pytest

from routing.providers.facts import ModelFacts, ModelPrices
from routing.synchronisation import (
    FACTS,
    FactChange,
    Known,
    Layer,
    ModelChange,
    Told,
    What,
    diff,
    tell,
)

LIST = "openrouter list"


def told(model: str = "a/large", **facts) -> Told:
    return Told(model, facts, dict.fromkeys(facts, LIST))


def known(model: str = "a/large", pk: int = 1, sources=None, **facts) -> Known:
    return Known(pk, model, {**dict.fromkeys(FACTS), **facts}, sources or {})


def test_a_model_that_is_not_there_is_new_with_all_that_is_told():
    assert diff([told(takes_tools=True, context_window_tokens=1000)], []) == [
        ModelChange(
            What.NEW,
            "a/large",
            (
                FactChange("context_window_tokens", None, 1000, LIST),
                FactChange("takes_tools", None, True, LIST),
            ),
        )
    ]


def test_what_differs_is_changed_and_what_is_the_same_is_not():
    before = known(
        context_window_tokens=900,
        takes_tools=True,
        sources={"context_window_tokens": LIST, "takes_tools": "litellm cost map"},
    )
    after = told(context_window_tokens=1000, takes_tools=True)

    assert diff([after], [before]) == [
        ModelChange(
            What.CHANGED, "a/large", (FactChange("context_window_tokens", 900, 1000, LIST),), pk=1
        )
    ]
    assert diff([told(takes_tools=True)], [before]) == []


@pytest.mark.parametrize(
    ("value", "sources", "is_kept"),
    [
        (900, {}, True),
        (900, {"context_window_tokens": "operator"}, True),
        (None, {"context_window_tokens": "operator"}, True),
        (900, {"context_window_tokens": LIST}, False),
        (None, {}, False),
        (None, {"takes_tools": "operator"}, False),
    ],
)
def test_what_an_operator_set_is_kept(value, sources, is_kept):
    before = known(context_window_tokens=value, sources=sources)

    assert (diff([told(context_window_tokens=1000)], [before]) == []) == is_kept


def test_a_fact_that_is_no_longer_told_stays():
    before = known(takes_tools=True, sources={"takes_tools": LIST})

    assert diff([told()], [before]) == []


def test_what_is_not_listed_is_gone_unless_the_list_is_not_whole():
    rows = [known("a/old", pk=2), known("anthropic/claude-{1}", pk=3), known("{1}", pk=4)]

    assert diff([], rows) == [ModelChange(What.GONE, "a/old", pk=2)]
    assert diff([], rows, list_is_whole=False) == []


def test_each_deployment_of_a_model_is_changed():
    rows = [known(pk=1), known(pk=2, takes_tools=True)]
    changes = diff([told(takes_tools=False)], rows)

    assert [(change.pk, change.what) for change in changes] == [(1, What.CHANGED)]


def test_patterns_keep_it_to_what_matches():
    entries = [told("a/large"), told("b/large"), told("b/small")]
    rows = [known("a/old", pk=1), known("b/old", pk=2)]
    changes = diff(entries, rows, patterns=("b/*", "c/*"))

    assert [(change.what, change.model) for change in changes] == [
        (What.NEW, "b/large"),
        (What.GONE, "b/old"),
        (What.NEW, "b/small"),
    ]
    assert [c.model for c in diff(entries, [], patterns=("*large", "a/large"))] == [
        "a/large",
        "b/large",
    ]


def test_nothing_is_touched_by_comparing():
    before = known(context_window_tokens=1, sources={"context_window_tokens": LIST})
    copy = known(context_window_tokens=1, sources={"context_window_tokens": LIST})
    diff([told(context_window_tokens=2)], [before])

    assert before == copy


def test_the_first_source_that_says_something_is_believed():
    priced = ModelPrices(prompt_usd_per_mtok=1, completion_usd_per_mtok=2)  # type: ignore[arg-type]
    half = ModelPrices(prompt_usd_per_mtok=5)  # type: ignore[arg-type]
    own = Layer("own list", {"m": ModelFacts("m", context_window_tokens=10, prices=half)})
    book = ModelFacts("m", context_window_tokens=20, takes_tools=False, prices=priced)
    [both, bare] = tell(["m", "unknown"], [own, Layer("book", {"m": book})])

    assert both.facts == {"context_window_tokens": 10, "takes_tools": False}
    assert both.sources == {"context_window_tokens": "own list", "takes_tools": "book"}
    assert (both.prices, both.prices_source) == (priced, "book")
    assert (bare.facts, bare.prices_source) == ({}, "")
