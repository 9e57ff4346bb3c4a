"""What is explained is what is sent; whatever stands in the way of a request is told; no secret is."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from asgiref.sync import sync_to_async

from accounting import snapshot as keys_snapshot
from accounting.models import MaskPattern, Price, VirtualKey
from conversion.dialects import Dialect
from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway.beginnings import add_target
from llmgateway.explanation import NOBODY, bystander, explain
from llmgateway.explanation_asks import example_body, key_named, request_of
from llmgateway.explanation_words import to_json, to_text
from llmgateway.runtime import refresh_pictures
from routing import snapshot
from routing.cooldown import Policy
from routing.models import (
    AgentType,
    Credential,
    Deployment,
    FeatureFlag,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    Route,
    RouteTarget,
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
from tests.serving import serving

MESSAGES = Dialect.ANTHROPIC_MESSAGES
CHAT = Dialect.OPENAI_CHAT
ADDED_ON_THE_WAY = {"host", "content-length"}


@pytest.fixture
def nothing_in_force():
    """Pictures of rows of another test must not be taken for this one's."""
    empty = keys_snapshot.KeyRing(number=-1, by_digest={}, prices={})
    snapshot.put_in_force(None)
    keys_snapshot.put_in_force(empty)
    yield
    snapshot.put_in_force(None)
    keys_snapshot.put_in_force(empty)


@pytest.fixture
def told(db, nothing_in_force) -> Callable:
    """Explains a body with the rows as they are: ``told(body, headers, key=..., dialect=..., runtime=...)``."""

    def ask(body="sonnet", *headers: str, key=NOBODY, dialect=MESSAGES, runtime=None):
        refresh_pictures()
        text = body if body.startswith("{") else example_body(body, dialect)
        return explain(request_of(text, dialect, headers), key, runtime or bystander())

    return ask


def two_targets(**fields) -> ModelAlias:
    """Sonnet at a direct provider and at another, behind one alias."""
    first, second = make_provider("direct"), make_provider("second")
    return make_alias("sonnet", make_deployment(first), make_deployment(second), **fields)


# What is shown is what is sent.

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


# Why the others were not chosen.


def test_what_is_passed_over_has_its_reason(told):
    alias = two_targets()
    first, second = alias.routes.get().targets.all()
    RouteTarget.objects.filter(pk=first.pk).update(only_with_tools=True)
    later = Route.objects.create(alias=alias, position=1)
    RouteTarget.objects.create(route=later, deployment=first.deployment)
    Route.objects.create(alias=alias, position=2, enabled=False)
    Route.objects.create(alias=alias, position=0, teams="birch").save()
    Route.objects.filter(teams="").filter(position=0).update(position=1)
    off = make_deployment(make_provider("off", enabled=False))
    RouteTarget.objects.create(route=second.route, deployment=off, position=9)
    make_alias("son*", second.deployment, match="wildcard")
    snapshot.bump()
    explained = told()

    assert explained.route == 2
    assert explained.passed_over == (
        "Route 1 is passed over: its team must be birch, and is none.",
        "Target direct: anthropic/claude-sonnet-4.5 is passed over: it is for requests with tools.",
        "The alias 'son*' matches too, but an exact name goes before patterns.",
        "Route 3 (direct: anthropic/claude-sonnet-4.5) is not looked at: one before it was taken.",
        "The route at position 2 is switched off.",
        "Target off: anthropic/claude-sonnet-4.5 is passed over: its provider is switched off.",
    )


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        (Deployment, {"enabled": False}, "it is switched off"),
        (Credential, {"enabled": False}, "it has no credential that is switched on"),
    ],
)
def test_a_target_that_cannot_be_called_is_told(told, model, fields, reason):
    make_alias("sonnet", make_deployment(make_provider()))
    model.objects.update(**fields)
    snapshot.bump()
    explained = told()

    assert explained.refusal.error == "NoTarget"
    assert explained.refusal.status == 529
    assert (
        f"Target openrouter: anthropic/claude-sonnet-4.5 is passed over: {reason}."
        in explained.passed_over
    )


def test_a_target_that_cools_down_is_told(told):
    two_targets()
    runtime = bystander()
    first = Deployment.objects.get(provider__slug="direct")
    policy = Policy(after=1, first_s=100.0)
    runtime.live.cooldowns.failed(first.pk, UpstreamBroken("x"), policy, time.monotonic())
    explained = told(runtime=runtime)

    assert [target.provider for target in explained.targets] == ["second"]
    assert explained.passed_over == (
        "Target direct: anthropic/claude-sonnet-4.5 is passed over: it cools down for 100 s more after UpstreamBroken.",
    )


def test_all_that_cool_down_are_tried_and_say_so(told):
    make_alias("sonnet", make_deployment(make_provider()))
    runtime = bystander()
    pk = Deployment.objects.get().pk
    policy = Policy(after=1, first_s=100.0)
    runtime.live.cooldowns.failed(pk, UpstreamBroken("x"), policy, time.monotonic())
    runtime.live.latencies.note(pk, 320)
    explained = told(runtime=runtime)

    state = explained.targets[0].state
    assert state == "cooling down for 100 s more, after 1 failure in a row, the last UpstreamBroken"
    runtime.live.cooldowns.succeeded(pk)
    again = told(runtime=runtime)
    assert again.targets[0].state == "ready; its answers begin after 320 ms on average"


def test_a_switched_off_path_is_told(told):
    direct, litellm = (
        make_provider("direct"),
        make_provider("proxy", kind="litellm_proxy", base_url="http://l"),
    )
    make_alias("sonnet", make_deployment(direct), make_deployment(litellm))
    FeatureFlag.objects.create(name="litellm_fallback", enabled=False)
    explained = told()

    assert [target.provider for target in explained.targets] == ["direct"]
    assert explained.passed_over == (
        "Target proxy: anthropic/claude-sonnet-4.5 is passed over: the feature flags keep the request on the other path.",
    )


def test_an_alias_that_is_switched_off_is_told(told):
    two_targets(enabled=False)
    explained = told()

    assert explained.refusal.error == "ModelUnknown"
    assert explained.passed_over == ("The alias 'sonnet' is switched off.",)


# What stands in the way.


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


# Transformations, credentials, figures.


def test_transformations_are_listed_with_what_they_do(told):
    two_targets()
    Transformation.objects.create(name="greets", pattern="Hello", replacement="Good day")
    Transformation.objects.create(name="idle", pattern="nowhere", replacement="x", position=1)
    Transformation.objects.create(name="signs", pattern="x", replacement="y", direction="response")
    target = told().targets[0]

    assert [(edit.label, edit.direction, edit.has_effect) for edit in target.edits] == [
        ("greets", "request", True),
        ("idle", "request", False),
        ("signs", "answer", None),
    ]
    assert orjson.loads(target.request.body)["messages"][0]["content"] == "Good day"


def test_the_credential_is_chosen_by_weight_and_rests(told):
    provider = make_provider()
    make_alias("sonnet", make_deployment(provider))
    assert told().targets[0].credential == f"main (…{SECRET[-4:]}), the only one"
    other = make_credential(provider, "spare", "short", weight=0)
    target = told().targets[0]
    assert target.credential == f"main (…{SECRET[-4:]}), drawn by weight: 1 of 1"

    runtime = bystander()
    main = provider.credentials.exclude(pk=other.pk).get()
    runtime.live.cooldowns.rest_credential(main.pk, UpstreamUnauthorized("x"), time.monotonic())
    target = told(runtime=runtime).targets[0]
    assert target.credential == "spare (…****), drawn by weight: 0 of 0; 1 resting"


def test_an_estimate_has_tokens_and_a_price_or_says_that_there_is_none(told):
    two_targets()
    Price.objects.create(
        provider="direct",
        upstream_model="anthropic/claude-sonnet-4.5",
        valid_from_at=datetime(2026, 1, 1, tzinfo=UTC),
        prompt_usd_per_mtok=3,
        completion_usd_per_mtok=15,
    )
    keys_snapshot.bump()
    priced, unpriced = (target.estimate for target in told().targets)

    assert priced.prompt_tokens == 8  # 3 for the prompt, 4 for the message, 1 for the word
    assert priced.cost_usd == Decimal("0.007524")  # 8 x 3 + 500 x 15, of a million
    assert priced.most_usd == Decimal("0.015384")  # 8 x 3 + 1024 x 15, of a million
    assert priced.source == "price_book"
    assert (unpriced.cost_usd, unpriced.source) == (None, "unpriced")


def test_weights_and_sessions_are_remarked_on(told):
    alias = two_targets()
    alias.routes.update(strategy="weighted")
    snapshot.bump()

    assert "Chance chose the first target" in told().remarks[0]
    assert told("sonnet", "x-claude-code-session-id: s").remarks == (
        "The route keeps sessions together: this one is new.",
    )


def test_a_kind_that_answers_in_the_process_has_no_address(told):
    make_alias("demo", make_deployment(make_provider("demo", kind="demo"), "demo"))
    request = told("demo").targets[0].request

    assert (request.method, request.url, request.headers) == ("", "", ())
    assert request.text.startswith("(answered in this process)")


def test_a_model_that_is_recognised_without_an_alias_is_told(told, settings):
    settings.RECOGNISE_MODELS = ["openrouter"]
    make_credential(make_provider())
    explained = told("anthropic/claude-sonnet-4.5")

    assert explained.route == 0
    assert explained.targets[0].upstream_model == "anthropic/claude-sonnet-4.5"


# Nobody reads a secret.

PLANTED = {
    "known by value": "planted+odd/credential=without-a-shape",
    "of the client": "sk-ant-api03-planted0123456789abcdef",
    "in an address": "planted-hunter2",
    "in a rule": "planted-rule-token-0123456789",
    "in the body": "ghp_planted0123456789abcdefghijklmnop",
    "escaped": "xoxb-planted-0123456789",
    "by a pattern": "PATIENT-0123456789",
    "in a name": "AKIAPLANTED012345678",
}


def test_no_secret_is_told_wherever_it_stands(told):
    for slug, more in (("first", {}), ("through", {"credential_mode": "pass_through"})):
        provider = make_provider(
            slug, base_url=f"http://me:{PLANTED['in an address']}@host/api", **more
        )
        make_credential(provider, secret=PLANTED["known by value"])
        deployment = make_deployment(provider, f"model-{PLANTED['in a name']}")
        add_target(ModelAlias.objects.get_or_create(name="sonnet")[0], deployment)
    HeaderRule.objects.create(action="force", name="X-Site-Token", value=PLANTED["in a rule"])
    HeaderRule.objects.create(
        action="force", name="X-Note", value=PLANTED["known by value"], position=1
    )
    MaskPattern.objects.create(name="patients", pattern=r"PATIENT-\d+", replacement="[patient]")
    words = (
        f"{PLANTED['known by value']} {PLANTED['in the body']} {PLANTED['by a pattern']} ESCAPED"
    )
    body = {"model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": words}]}
    hidden = "".join(f"\\u{ord(char):04x}" for char in PLANTED["escaped"])
    client = PLANTED["of the client"]
    explained = told(
        orjson.dumps(body).decode().replace("ESCAPED", hidden),
        "x-llmgateway-key: gw-planted0123456789planted0123456789abcd",
        f"authorization: Bearer {client}",
        f"x-claude-code-session-id: {client}",
    )

    assert [bool(target.request) for target in explained.targets] == [True, True]
    for written in (to_json(explained), to_text(explained), repr(explained)):
        assert [name for name, secret in PLANTED.items() if secret in written] == []
        assert "gw-planted" not in written
        assert hidden not in written
    assert "[patient]" in explained.targets[0].request.body


def test_a_short_credential_masks_no_words(told):
    provider = make_provider("local", kind="openai_compatible", base_url="http://local/v1")
    make_credential(provider, secret="local")
    make_alias("sonnet", make_deployment(provider, "local-model"))
    request = told().targets[0].request

    assert request.url == "http://local/v1/chat/completions"
    assert "local-model" in request.body
    assert dict(request.headers)["Authorization"] == "[masked]"


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


# What was asked, in other dialects.


@pytest.mark.parametrize(
    ("dialect", "body", "tokens"),
    [
        (Dialect.OPENAI_COMPLETIONS, {"prompt": "one two"}, 2),
        (Dialect.OPENAI_COMPLETIONS, {"prompt": [5, 6, 7]}, 3),
        (Dialect.OPENAI_EMBEDDINGS, {"input": ["one", "two", None]}, 2),
        (CHAT, {"messages": [{"role": "user", "content": "one"}]}, 8),
    ],
)
def test_tokens_are_estimated_in_every_dialect(told, dialect, body, tokens):
    two_targets()
    explained = told(orjson.dumps({"model": "sonnet", **body}).decode(), dialect=dialect)

    assert explained.targets[0].estimate.prompt_tokens == tokens


def test_tools_and_calls_of_a_chat_cost_tokens(told):
    two_targets()
    function = {"name": "f", "description": "does it", "parameters": {"type": "object"}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    plain = {"model": "sonnet", "messages": [{"role": "user", "content": "one"}]}
    with_tools = {**plain, "tools": [{"type": "function", "function": function}, {"type": "x"}]}
    messages = [*plain["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    counts = [
        told(orjson.dumps(body).decode(), dialect=CHAT).targets[0].estimate.prompt_tokens
        for body in (plain, with_tools, {**plain, "messages": messages})
    ]

    assert counts[0] < counts[2] < counts[1]
