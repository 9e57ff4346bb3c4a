"""What is explained is what is sent; whatever stands in the way of a request is told."""

from datetime import UTC, datetime

import orjson
import pytest
from asgiref.sync import sync_to_async

from accounting import snapshot as keys_snapshot
from accounting.admission.values import BudgetPicture, Rules
from accounting.models import Project, VirtualKey
from conversion.dialects import Dialect
from llmgateway.explanation import NOBODY, bystander, explain, held_to
from llmgateway.explanation_asks import example_body, key_named, request_of
from llmgateway.explanation_words import to_json, to_text
from llmgateway.runtime import refresh_pictures
from routing import snapshot
from routing.models import (
    AgentType,
    FeatureFlag,
    HeaderRule,
    ModelTier,
    Provider,
    Transformation,
)
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)
from tests.llmgateway.conftest import two_targets
from tests.serving import serving

MESSAGES = Dialect.ANTHROPIC_MESSAGES
CHAT = Dialect.OPENAI_CHAT
ADDED_ON_THE_WAY = {"host", "content-length"}


BODIES = {
    "messages": (
        MESSAGES,
        "/v1/messages?beta=true",
        {
            "model": "sonnet",
            "max_tokens": 100,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "How warm is it in Rome?"}],
            "tools": [
                {"name": "weather", "input_schema": {"type": "object"}, "input_examples": [{}]}
            ],
            "metadata": {"user_id": "u"},
        },
    ),
    "chat": (
        CHAT,
        "/v1/chat/completions",
        {
            "model": "sonnet",
            "messages": [{"role": "user", "content": "How warm is it in Rome?"}],
            "temperature": 0.5,
        },
    ),
    "embeddings": (
        Dialect.OPENAI_EMBEDDINGS,
        "/v1/embeddings",
        {"model": "sonnet", "input": ["one", "two"]},
    ),
}


def rows_for(kind: str, url: str) -> str:
    """A provider with a header rule, a transformation and parameters; the key of who asks."""
    provider = make_provider("router", kind=kind, base_url=url, retries_max=0)
    alias = make_alias("sonnet", make_deployment(provider, parameters={"temperature": 0.25}))
    HeaderRule.objects.create(action="force", name="X-Title", value="${team} by ${key}")
    HeaderRule.objects.create(action="add", name="X-Route", value="r", scope="route", alias=alias)
    HeaderRule.objects.create(action="drop", name="user-agent")
    Transformation.objects.create(name="no Rome", pattern="Rome", replacement="R.")
    return make_key(make_team("alder"), "laptop").secret


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("kind", ["openrouter", "anthropic", "openai_compatible", "litellm_proxy"])
async def test_what_is_explained_is_what_reaches_the_provider(
    transactional_db, upstream, tmp_path, kind, what
):
    dialect, path, body = BODIES[what]
    if kind == "anthropic" and what == "embeddings":
        pytest.skip("there are none")
    secret = await sync_to_async(rows_for)(kind, upstream.url.removesuffix("/api/v1"))
    lines = ("x-claude-code-session-id: s-1", "anthropic-beta: context-1m", "X-Title: mine")
    async with serving(tmp_path / "journal", key=secret) as gateway:
        ask = request_of(orjson.dumps(body).decode(), dialect, lines)
        ask.query = path.partition("?")[2]
        key = key_named("alder", "laptop")
        explained = await sync_to_async(explain)(ask, key, gateway.runtime)
        headers = dict(line.split(": ") for line in lines)
        await gateway.http.post(path, content=orjson.dumps(body), headers=headers)

    (seen,), (target,) = upstream.requests, explained.targets
    shown = target.request
    assert shown.method == seen.method
    assert shown.url == upstream.url.removesuffix("/api/v1") + seen.path
    assert shown.body.encode() == seen.body
    named = {name.lower(): value for name, value in shown.headers}
    hidden = {name for name, value in named.items() if value == "[masked]"}
    assert hidden == {"x-api-key" if kind == "anthropic" else "authorization"}
    assert named.keys() == seen.headers.keys() - ADDED_ON_THE_WAY
    assert {name: seen.headers[name] for name in named.keys() - hidden} == {
        name: value for name, value in named.items() if name not in hidden
    }
    assert SECRET in str([seen.headers[name] for name in hidden])
    assert SECRET not in to_json(explained)


def test_every_step_is_told_in_order(told):
    two_targets()
    explained = told()

    assert explained.alias == "sonnet"
    assert (explained.route, explained.strategy) == (1, "in_order")
    assert explained.steps == (
        "Nobody in particular asks: conditions on teams, projects and API keys do not hold.",
        "'sonnet' is matched by the alias 'sonnet'.",
        "Route 1 is taken; its strategy: in order.",
        "Order: direct: anthropic/claude-sonnet-4.5, second: anthropic/claude-sonnet-4.5.",
    )
    assert [target.provider for target in explained.targets] == ["direct", "second"]
    assert explained.targets[0].state == "ready"
    assert explained.targets[0].policy == (
        "Timeouts: connect 5 s, first byte 120 s, between bytes 60 s, in all 600 s.",
        "Retries: up to 2 here before the next target, after 0.25 s to 8 s, for status 408, 429, 500, 502, 503, 504, "
        "529 and network errors.",
    )


def test_flags_are_told_as_the_caller_sees_them(told):
    make_key(make_team("alder"), "laptop")
    make_key(make_team("birch"), "laptop")
    two_targets()
    FeatureFlag.objects.create(name="log_headers", enabled=True, team="alder")
    refresh_pictures()
    seen = {
        team: {flag.name: flag.is_on for flag in told(key=key_named(team, "laptop")).flags}
        for team in ("alder", "birch")
    }

    assert told(key=key_named("alder", "laptop")).steps[0] == "API key laptop of team alder asks."
    assert seen["alder"]["log_headers"]
    assert not seen["birch"]["log_headers"]
    assert seen["birch"]["bypass_litellm"]


def test_agent_type_and_tier_are_told(told):
    tier = ModelTier.objects.create(slug="fast", alias=two_targets())
    AgentType.objects.create(slug="summarizer", value="sum*", tier=tier)
    explained = told("something/else", "x-llmgateway-agent: Summary")

    assert (explained.agent_type, explained.tier) == ("summarizer", "fast")
    assert explained.alias == "sonnet"
    assert "The header x-llmgateway-agent tells the agent type summarizer." in explained.steps


@pytest.mark.parametrize(
    ("body", "error", "status"),
    [
        ("{", "RequestInvalid", 400),
        ('{"model": "sonnet"}', "RequestInvalid", 400),
        ("haiku", "ModelUnknown", 404),
    ],
)
def test_a_request_that_is_refused_is_told(told, body, error, status):
    two_targets()
    explained = told(body)

    assert (explained.refusal.error, explained.refusal.status) == (error, status)
    assert explained.targets == ()


def test_without_a_configuration_that_is_told(db, nothing_in_force):
    explained = explain(request_of(example_body("m", CHAT), CHAT, ()), NOBODY, bystander())

    assert explained.refusal.error == "SnapshotUnbuilt"


def test_a_key_that_is_not_let_in_is_told(told):
    two_targets()
    make_key(make_team(), "closed", allowed_aliases=["haiku"])
    VirtualKey.objects.filter(pk=make_key(make_team(), "off").row.pk).update(enabled=False)
    keys_snapshot.bump()
    make_key(make_team(), "old", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    refresh_pictures()
    errors = {
        name: told(key=key_named("alder", name)).refusal.message
        for name in ("closed", "off", "old")
    }

    assert "not open to the API key 'closed'" in errors["closed"]
    assert "switched off" in errors["off"]
    assert "expired on 2020-01-01" in errors["old"]


def test_a_target_that_cannot_take_the_request_says_so_and_the_next_is_explained(told):
    two_targets()
    Provider.objects.filter(slug="direct").update(credential_mode="pass_through")
    snapshot.bump()
    first, second = told().targets

    assert first.refusal.error == "CredentialNotSent"
    assert first.request is None
    assert first.credential == "the client's own (Authorization or x-api-key)"
    assert second.request is not None
    assert second.is_reached


def test_behind_a_refusal_that_ends_the_request_nothing_is_reached(told):
    two_targets()
    body = {"model": "sonnet", "max_tokens": 5, "messages": [{"role": "user", "content": 7}]}
    first, second = told(orjson.dumps(body).decode()).targets

    assert first.refusal.error == "RequestInvalid"
    assert not second.is_reached


def test_what_conversion_leaves_out_is_noted_and_refused_where_that_is_asked_for(told):
    two_targets()
    body = {**orjson.loads(example_body("sonnet", MESSAGES)), "bogus": 5}
    text = orjson.dumps(body).decode()
    notes = {note.path: note.kind for note in told(text).targets[0].notes}
    FeatureFlag.objects.create(name="strict_conversion", enabled=True)
    refusal = told(text).targets[0].refusal

    assert notes["bogus"] == "dropped"
    assert refusal.error == "RequestInexpressible"
    assert "bogus" in refusal.message


def test_the_text_tells_what_stands_in_the_way(told):
    two_targets()
    Provider.objects.filter(slug="direct").update(credential_mode="pass_through")
    Transformation.objects.create(name="greets", pattern="Hello", replacement="Good day")
    Transformation.objects.create(name="idle", pattern="nowhere", replacement="x", position=1)
    Transformation.objects.create(name="signs", pattern="x", replacement="y", direction="response")
    snapshot.bump()
    text = to_text(told())

    assert "  Cannot take the request: Provider direct is called with your own" in text
    assert "(CredentialNotSent, status 401)" in text
    assert "  Transformation: greets, on the request: changes it" in text
    assert "  Transformation: idle, on the request: finds nothing to change" in text
    assert "  Transformation: signs, on the answer\n" in text
    assert "\nNothing would be sent\n  The model 'other' is not known" in to_text(told("other"))
    broken = {"model": "sonnet", "max_tokens": 5, "messages": [{"role": "user", "content": 7}]}
    Provider.objects.update(credential_mode="managed")
    snapshot.bump()
    assert "  Not reached: a target before it ends" in to_text(told(orjson.dumps(broken).decode()))


def test_the_text_has_every_part(told):
    two_targets()
    HeaderRule.objects.create(action="force", name="X-Title", value="mine")
    text = to_text(told())

    assert "Steps\n  1. Nobody in particular asks" in text
    assert "Target 2: second (OpenRouter), anthropic/claude-sonnet-4.5" in text
    assert "    POST https://openrouter.ai/api/v1/chat/completions\n" in text
    assert "    x-title: mine\n" in text
    assert "  Estimate: about 8 prompt tokens; unpriced" in text
    assert "  Header rule: force x-title: mine" in text
    assert "  strict_conversion: off" in text


def test_a_project_is_told(told):
    two_targets()
    team = make_team("alder")
    project = Project.objects.create(team=team, slug="web")
    make_key(team, "laptop", project=project)
    refresh_pictures()

    assert told(key=key_named("alder", "laptop")).caller == (
        "API key laptop of team alder, project web"
    )


def test_a_model_that_is_recognised_without_an_alias_is_told(told, settings):
    settings.RECOGNISE_MODELS = ["openrouter"]
    make_credential(make_provider())
    explained = told("anthropic/claude-sonnet-4.5")

    assert explained.route == 0
    assert explained.targets[0].upstream_model == "anthropic/claude-sonnet-4.5"


def test_weights_and_sessions_are_remarked_on(told):
    alias = two_targets()
    alias.routes.update(strategy="weighted")
    snapshot.bump()

    assert "Chance chose the first target" in told().remarks[0]
    assert told("sonnet", "x-claude-code-session-id: s").remarks == (
        "The route keeps sessions together: this one is new.",
    )


def test_what_a_request_is_held_to_is_told():
    budget = BudgetPicture(
        1, "alder", "the monthly budget of team alder", 5 * 10**11, "month", "UTC"
    )
    rules = (
        Rules("alder/key/1", "API key 'laptop'", requests_per_minute=60, concurrent_requests=2),
        Rules("alder", "team alder", tokens_per_minute=100_000, budgets=(budget,)),
    )
    assert held_to(rules) == [
        "API key 'laptop' is held to 60 requests a minute, 2 requests under way.",
        "team alder is held to 100,000 tokens a minute, the monthly budget of team alder (0.5 USD).",
    ]
