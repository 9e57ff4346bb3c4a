"""What is told of one target; and that no secret is."""

import re
import time

import orjson

from accounting.models import MaskPattern
from conversion.errors import UpstreamBroken, UpstreamUnauthorized
from llmgateway.beginnings import add_target
from llmgateway.explanation import bystander
from llmgateway.explanation_words import to_json, to_text
from routing import snapshot
from routing.cooldown import Policy
from routing.models import (
    Deployment,
    HeaderRule,
    ModelAlias,
    Provider,
    Transformation,
)
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)
from tests.llmgateway.conftest import two_targets

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


def test_a_kind_that_answers_in_the_process_has_no_address(told):
    make_alias("demo", make_deployment(make_provider("demo", kind="demo"), "demo"))
    request = told("demo").targets[0].request

    assert (request.method, request.url, request.headers) == ("", "", ())
    assert request.text.startswith("(answered in this process)")


def test_a_transformation_that_fails_refuses_the_target(told):
    two_targets()
    Transformation.objects.create(kind="json_drop", name="breaks", pattern="$.messages")
    target = told().targets[0]

    assert target.refusal.error == "TransformationFailed"
    assert target.estimate.prompt_tokens == 8  # of the request as it came


def test_limits_and_retries_are_told_as_they_are(told):
    two_targets()
    limits = {"concurrent_max": 3, "queue_max": 9, "retries_max": 0}
    Provider.objects.filter(slug="direct").update(**limits)
    snapshot.bump()

    assert told().targets[0].policy[1:] == (
        "Retries: none; a failure goes to the next target at once.",
        "Limit: 3 requests at once in each process, 9 more wait up to 10 s.",
    )


def test_a_cooldown_that_is_over_waits_for_its_trial(told):
    make_alias("sonnet", make_deployment(make_provider()))
    runtime = bystander()
    pk = Deployment.objects.get().pk
    policy = Policy(after=1, first_s=0.0)
    runtime.live.cooldowns.failed(pk, UpstreamBroken("x"), policy, time.monotonic())

    assert "the next request is its trial" in told(runtime=runtime).targets[0].state


def test_the_only_credential_goes_along_although_it_rests(told):
    provider = make_provider()
    make_alias("sonnet", make_deployment(provider))
    runtime = bystander()
    pk = provider.credentials.get().pk
    runtime.live.cooldowns.rest_credential(pk, UpstreamUnauthorized("x"), time.monotonic())

    credential = told(runtime=runtime).targets[0].credential
    rests = r"although it rests for (300|29\d) s more after UpstreamUnauthorized, the only one"
    assert re.search(rests, credential)
