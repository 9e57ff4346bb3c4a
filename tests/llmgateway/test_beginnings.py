"""What an empty installation begins with, and that it touches nothing that is there."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounting import snapshot as keys_snapshot
from accounting.models import Price
from llmgateway.beginnings import add_demo, add_first_providers, add_target
from routing import snapshot
from routing.errors import ModelUnknown
from routing.models import Credential, Deployment, ModelAlias, Provider
from routing.planning import Question, make_plan
from tests.factories.routing import make_alias, make_deployment, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def openrouter(settings):
    """The environment names OpenRouter."""
    settings.OPENROUTER_API_KEY = "sk-or-planted"
    settings.OPENROUTER_API_BASE = "https://upstream.test/v1"
    settings.OPENROUTER_DIRECT_TIMEOUT_S = 90
    settings.OPENROUTER_DIRECT_RETRIES = 1
    settings.OPENROUTER_DIRECT_MODEL_FORMAT = "{model}"
    return settings


@pytest.fixture
def litellm(settings):
    """The environment names a LiteLLM proxy."""
    settings.LITELLM_BASE_URL = "http://litellm.test:4000"
    settings.LITELLM_MASTER_KEY = "sk-litellm-planted"
    return settings


def targets_of(name: str) -> list[str]:
    """Providers and models that a name leads to, in order."""
    targets = make_plan(snapshot.build(), Question(name, dice=random.Random(1))).targets
    return [f"{target.provider.slug}: {target.upstream_model}" for target in targets]


def target_of(name: str) -> str:
    """Provider and model that a name leads to."""
    [target] = make_plan(snapshot.build(), Question(name, dice=random.Random(1))).targets
    return f"{target.provider.slug}: {target.upstream_model}"


def test_the_demo_answers_to_its_own_name_and_to_claudes():
    assert add_demo() is True

    assert target_of("demo") == "demo: demo-1"
    assert target_of("claude-haiku-4-5-20251001") == "demo: demo-1"
    with pytest.raises(ModelUnknown):
        target_of("gpt-5")


def test_the_demo_has_a_price():
    add_demo()

    tag = keys_snapshot.build().price_at("demo", "demo-1", datetime(2026, 11, 20, tzinfo=UTC))

    assert tag is not None
    assert (tag.prompt_usd_per_mtok, tag.completion_usd_per_mtok) == (
        Decimal("0.25"),
        Decimal("1.25"),
    )


def test_the_demo_is_added_once():
    add_demo()
    number = snapshot.version()

    assert add_demo() is False
    assert snapshot.version() == number
    assert Price.objects.count() == 1


def test_beside_a_real_provider_the_demo_does_not_answer_to_claudes_names():
    make_provider()

    add_demo()

    assert [alias.name for alias in ModelAlias.objects.all()] == ["demo"]


def test_names_that_are_taken_stay_as_they_are():
    deployment = make_deployment(make_provider())
    make_alias("demo", deployment)

    add_demo()

    assert target_of("demo") == "openrouter: anthropic/claude-sonnet-4.5"


@pytest.mark.usefixtures("openrouter")
def test_openrouter_begins_as_the_environment_says():
    assert add_first_providers() is True

    provider = Provider.objects.get()
    assert (provider.slug, provider.kind) == ("openrouter", "openrouter")
    assert provider.base_url == "https://upstream.test/v1"
    assert provider.total_timeout_s == 90
    assert provider.retries_max == 1
    [credential] = snapshot.build().providers["openrouter"].credentials
    assert credential.secret.reveal() == "sk-or-planted"
    assert "sk-or-planted" not in Credential.objects.get().sealed_secret


@pytest.mark.usefixtures("openrouter")
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4.5"),
        ("claude-opus-4-1-20250805", "anthropic/claude-opus-4.1"),
        ("claude-haiku-4-5-20251001", "anthropic/claude-haiku-4.5"),
        ("claude-sonnet-4-20250514", "anthropic/claude-sonnet-4"),
        ("claude-opus-5", "anthropic/claude-opus-5"),
        ("claude-3-5-haiku-20241022", "anthropic/claude-3.5-haiku"),
        ("claude-3-7-sonnet", "anthropic/claude-3.7-sonnet"),
        ("openrouter/meta/llama-4", "meta/llama-4"),
        ("openrouter/openai/gpt-5:free", "openai/gpt-5:free"),
    ],
)
def test_the_names_that_claude_code_asks_for_lead_to_openrouters(name, model):
    add_first_providers()

    assert target_of(name) == f"openrouter: {model}"


@pytest.mark.usefixtures("openrouter")
def test_real_routes_go_before_the_demos():
    add_demo()
    Provider.objects.exclude(kind="demo").delete()
    assert add_first_providers() is False  # rows rule once there are any

    Provider.objects.all().delete()
    assert add_first_providers() is True
    assert target_of("claude-sonnet-4-5") == "openrouter: anthropic/claude-sonnet-4.5"


@pytest.mark.usefixtures("openrouter")
def test_both_beginnings_together_leave_claude_to_openrouter():
    add_first_providers()
    add_demo()

    assert target_of("claude-sonnet-4-5") == "openrouter: anthropic/claude-sonnet-4.5"
    assert target_of("demo") == "demo: demo-1"


def test_the_form_of_a_models_name_comes_from_the_environment(openrouter):
    openrouter.OPENROUTER_DIRECT_MODEL_FORMAT = "acme/{model}:free"

    add_first_providers()

    assert target_of("openrouter/x/y") == "openrouter: acme/x/y:free"


def test_more_repeats_than_a_provider_takes_are_cut(openrouter):
    openrouter.OPENROUTER_DIRECT_RETRIES = 99

    add_first_providers()

    assert Provider.objects.get().retries_max == 10


def test_without_a_key_nothing_is_added(openrouter):
    openrouter.OPENROUTER_API_KEY = ""

    assert add_first_providers() is False
    assert Provider.objects.count() == 0


@pytest.mark.usefixtures("openrouter")
def test_a_provider_that_is_there_is_left_alone():
    make_provider("mine")

    assert add_first_providers() is False
    assert [provider.slug for provider in Provider.objects.all()] == ["mine"]


@pytest.mark.usefixtures("openrouter")
def test_every_row_it_makes_is_valid():
    add_first_providers()
    add_demo()

    for model in (Provider, Credential, Deployment, ModelAlias):
        for row in model.objects.all():
            row.full_clean()


def test_a_target_is_appended_once():
    provider = make_provider()
    first, second = make_deployment(provider, "first"), make_deployment(provider, "second")
    alias = ModelAlias.objects.create(name="name")

    made = [add_target(alias, deployment) for deployment in (first, second, first)]

    assert [target.position for target in made] == [0, 1, 0]
    assert alias.routes.count() == 1


@pytest.mark.usefixtures("openrouter", "litellm")
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("claude-opus-5", "anthropic/claude-opus-5"),
        ("openrouter/meta/llama-4", "meta/llama-4"),
    ],
)
def test_litellm_is_behind_openrouter_and_asked_for_the_same_name(name, model):
    assert add_first_providers() is True

    assert targets_of(name) == [f"openrouter: {model}", f"litellm: {name}"]
    provider = Provider.objects.get(slug="litellm")
    assert (provider.kind, provider.base_url) == ("litellm_proxy", "http://litellm.test:4000")
    [credential] = snapshot.build().providers["litellm"].credentials
    assert credential.secret.reveal() == "sk-litellm-planted"


@pytest.mark.usefixtures("litellm")
def test_litellm_alone_is_behind_every_name(settings):
    settings.OPENROUTER_API_KEY = ""

    assert add_first_providers() is True

    assert targets_of("gpt-5") == ["litellm: gpt-5"]
    assert targets_of("claude-opus-5") == ["litellm: claude-opus-5"]
    for model in (Provider, Credential, Deployment, ModelAlias):
        for row in model.objects.all():
            row.full_clean()


@pytest.mark.usefixtures("openrouter")
def test_a_litellm_proxy_may_have_no_key(litellm):
    litellm.LITELLM_MASTER_KEY = ""

    add_first_providers()

    assert targets_of("claude-opus-5")[1] == "litellm: claude-opus-5"


@pytest.mark.usefixtures("openrouter", "litellm")
def test_litellm_is_added_to_an_empty_database_only():
    make_provider("mine")

    assert add_first_providers() is False
    assert Provider.objects.count() == 1
