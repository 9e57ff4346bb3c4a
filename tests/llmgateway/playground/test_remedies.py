"""What the page says to do about an error, and where."""

from dataclasses import replace

import pytest

from llmgateway.answer_reading import ReadAnswer
from llmgateway.errors import TABLE
from llmgateway.playground.remedies import _ROWS, remedy_of
from llmgateway.playground.sending import Outcome


def outcome(error: str = "", status: int = 200, **fields) -> Outcome:
    return Outcome(None, status, ReadAnswer(text="Hi"), is_cut=False, error=error, crossed=[], **fields)  # fmt: skip


def test_a_success_needs_no_remedy():
    assert remedy_of(outcome(), is_staff=True) is None


@pytest.mark.parametrize(
    "failed",
    [
        outcome("RateLimited", 429),
        outcome("UpstreamStreamCut"),
        outcome(problem="a bug"),
        replace(outcome(), answer=ReadAnswer(error="overloaded")),
    ],
    ids=["status", "mid-stream", "bug", "event"],
)
def test_everything_else_has_one(failed):
    assert remedy_of(failed, is_staff=False).words


def test_pages_of_the_admin_are_named_to_staff_only():
    failed = outcome("UpstreamUnauthorized", 502)

    assert remedy_of(failed, is_staff=True).address == "/admin/routing/credential/"
    assert remedy_of(failed, is_staff=False).address == ""


@pytest.mark.parametrize("name", sorted(_ROWS))
def test_every_remedy_is_for_an_error_that_there_is(name, db):
    def tree(kind: type) -> set[str]:
        return {kind.__name__}.union(*(tree(each) for each in kind.__subclasses__()))

    assert name in set().union(*(tree(kind) for kind in TABLE))
    assert remedy_of(outcome(name, 400), is_staff=True).words.endswith(".")
