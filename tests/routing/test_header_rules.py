"""Header rules: what is sent, and what no rule may touch."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from routing import snapshot
from routing.header_rules import PROTECTED, Rule, apply, fill, problem_with
from routing.models import HeaderRule
from tests.factories.routing import make_alias, make_deployment, make_provider

SENT = {"Accept": "application/json", "X-Title": "llmgateway", "anthropic-version": "2023-06-01"}


def after(*rules: Rule, headers=SENT, client=None, **places: str) -> dict[str, str]:
    return apply(rules, headers, client_headers=client or {}, places=places)


def test_without_rules_nothing_changes_but_the_case():
    assert after() == {name.lower(): value for name, value in SENT.items()}


def test_drop_takes_names_and_patterns():
    assert "x-title" not in after(Rule("drop", "x-title"))
    assert set(after(Rule("drop", "*"))) == set()
    assert set(after(Rule("drop", "anthropic-*"))) == {"accept", "x-title"}


def test_add_leaves_what_is_there_and_force_does_not():
    assert after(Rule("add", "x-title", "mine"))["x-title"] == "llmgateway"
    assert after(Rule("add", "x-new", "mine"))["x-new"] == "mine"
    assert after(Rule("force", "x-title", "mine"))["x-title"] == "mine"


def test_rules_work_in_their_order():
    assert (
        after(Rule("force", "x-a", "1"), Rule("drop", "x-a"), Rule("add", "x-a", "2"))["x-a"] == "2"
    )
    assert "x-a" not in after(Rule("add", "x-a", "2"), Rule("drop", "x-*"))


def test_allow_drops_all_else_and_lets_the_clients_own_through():
    client = {"x-trace-id": "t-1", "x-other": "o", "authorization": "Bearer secret", "cookie": "c"}
    sent = after(Rule("allow", "x-trace-*"), Rule("allow", "authorization"), client=client)

    assert sent == {
        "accept": "application/json",
        "anthropic-version": "2023-06-01",
        "x-trace-id": "t-1",
    }


def test_values_are_filled_with_what_is_known():
    sent = after(
        Rule("force", "x-who", "${team}/${model} ${odd}"), team="alder", model="cl\r\naude\u00e9"
    )

    assert sent["x-who"] == "alder/cl??aude?"


def test_a_value_does_not_end_in_the_space_before_what_is_not_known():
    assert fill("Gateway of ${team}", {"team": ""}) == "Gateway of"
    assert fill("${team} asks", {}) == "asks"


@pytest.mark.parametrize(
    ("action", "name", "value", "field"),
    [
        ("force", "x-*", "1", "name"),
        ("force", "bad name", "1", "name"),
        ("drop", "x\r\n", "", "name"),
        ("force", "x-a", "", "value"),
        ("drop", "x-a", "1", "value"),
        ("add", "x-a", "${secret}", "value"),
        *(("force", name, "1", "name") for name in sorted(PROTECTED)),
        *(("drop", name.title(), "", "name") for name in sorted(PROTECTED)),
    ],
)
def test_rules_that_could_only_break_a_request_are_refused(action, name, value, field):
    problem = problem_with(action, name, value)

    assert problem is not None
    assert problem.field == field


@pytest.mark.parametrize(
    ("action", "name", "value"),
    [
        ("drop", "x-*", ""),
        ("allow", "*", ""),
        ("add", "X-A", ""),
        ("force", "X-A", "${team} ${request_id}"),
    ],
)
def test_rules_that_can_be_applied_are_taken(action, name, value):
    assert problem_with(action, name, value) is None


@given(
    st.lists(
        st.builds(
            Rule,
            st.sampled_from(["drop", "add", "force", "allow"]),
            st.sampled_from(["x-a", "x-*", "*", "accept"]),
            st.text(max_size=5),
        )
    ),
    st.dictionaries(st.sampled_from(["x-a", "x-b", "cookie", "host"]), st.text(max_size=5)),
)
def test_no_rules_let_a_protected_header_of_the_client_through(rules, client):
    assert not PROTECTED & apply(rules, SENT, client_headers=client, places={}).keys()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"value": "a\r\nX-B: 1"},
        {"value": "é"},
        {"name": "host"},
        {"scope": "provider"},
        {"scope": "route"},
    ],
)
def test_rows_that_cannot_be_applied_are_refused_when_saved(fields):
    with pytest.raises(ValidationError):
        HeaderRule(**{"action": "force", "name": "x-a", "value": "1", **fields}).full_clean()


@pytest.mark.django_db
def test_rules_reach_the_targets_of_their_scope_in_order():
    provider, other = make_provider(), make_provider("other")
    alias = make_alias("name", make_deployment(provider), make_deployment(other))
    make_alias("else", make_deployment(provider, "second"))
    HeaderRule.objects.create(scope="route", alias=alias, action="force", name="X-C", value="3")
    HeaderRule.objects.create(
        scope="provider", provider=provider, action="force", name="X-B", value="2"
    )
    HeaderRule.objects.create(action="force", name="X-A", value="1")
    HeaderRule.objects.create(action="force", name="X-Off", value="1", enabled=False)
    first = HeaderRule.objects.create(action="drop", name="x-z", position=1)
    picture = snapshot.build()

    def names(alias_name):
        return [
            [rule.name for rule in t.header_rules]
            for t in picture.exact[alias_name].routes[0].targets
        ]

    assert names("name") == [["x-a", "x-b", "x-c", "x-z"], ["x-a", "x-c", "x-z"]]
    assert names("else") == [["x-a", "x-b", "x-z"]]
    assert [rule.name for rule in picture.providers["other"].header_rules] == ["x-a", "x-z"]
    assert first.scope_text == "everything"
    assert HeaderRule.objects.get(name="X-B").scope_text == f"provider {provider}"
