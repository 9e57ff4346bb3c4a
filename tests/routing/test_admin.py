"""The admin pages of routing: they open, they say what is wrong, and no secret comes out of them."""

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils.html import escape

from routing import secrets, snapshot
from routing.models import (
    Credential,
    HeaderRule,
    ModelAlias,
    ModelTier,
    Provider,
    Route,
    Transformation,
)
from tests.factories.routing import (
    SECRET,
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)

pytestmark = pytest.mark.django_db
MODELS = ["provider", "credential", "deployment", "modelalias", "route"]


@pytest.fixture
def rows():
    provider = make_provider()
    make_credential(provider)
    make_alias("claude-sonnet-4-5", make_deployment(provider))
    return provider


@pytest.mark.parametrize("model", MODELS)
def test_every_page_opens_and_shows_no_secret(admin_client, rows, model):
    row = {
        "provider": rows,
        "credential": Credential.objects.get(),
        "modelalias": ModelAlias.objects.get(),
        "route": Route.objects.get(),
    }.get(model, rows.deployments.get())
    for address in (
        reverse(f"admin:routing_{model}_changelist"),
        reverse(f"admin:routing_{model}_add"),
        reverse(f"admin:routing_{model}_change", args=[row.pk]),
        reverse(f"admin:routing_{model}_history", args=[row.pk]),
    ):
        page = admin_client.get(address)
        assert page.status_code == 200
        assert SECRET not in page.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_list_says_what_to_do(admin_client, model):
    page = admin_client.get(reverse(f"admin:routing_{model}_changelist")).content.decode()

    assert "yet</h2>" in page
    assert escape(site._registry[apps.get_model("routing", model)].empty_help) in page
    assert reverse(f"admin:routing_{model}_add") in page


@pytest.mark.parametrize(
    ("asked", "sentence", "offer"),
    [
        ({"q": "no-such"}, "the search for “no-such”", "Clear search"),
        ({"enabled__exact": "0"}, "the filters that are set", "Clear filters"),
        ({"q": "no-such", "enabled__exact": "0"}, "both the filters and the search", "Clear search and filters"),
    ],
    ids=["search", "filter", "both"],
)  # fmt: skip
def test_a_list_that_was_narrowed_too_far_says_so(admin_client, rows, asked, sentence, offer):
    address = reverse("admin:routing_provider_changelist")
    page = admin_client.get(address, asked).content.decode()

    assert sentence in page
    assert offer in page
    assert "yet</h2>" not in page


@pytest.mark.parametrize("model", MODELS)
def test_nobody_else_sees_anything(client, django_user_model, rows, model):
    address = reverse(f"admin:routing_{model}_changelist")
    assert client.get(address).status_code == 302
    client.force_login(django_user_model.objects.create_user("birch"))
    assert client.get(address).status_code == 302


NO_RULES = {
    f"{rules}-{name}_FORMS": "0"
    for rules in ("headerrules", "transformations")
    for name in ("TOTAL", "INITIAL")
}


def provider_form(**fields):
    least = {
        **NO_RULES,
        "slug": "openrouter",
        "kind": "openrouter",
        "base_url": "",
        "enabled": "on",
        "connect_timeout_s": "5",
        "first_byte_timeout_s": "120",
        "idle_timeout_s": "60",
        "total_timeout_s": "600",
        "retries_max": "2",
        "backoff_s": "0.25",
        "backoff_max_s": "8",
        "retry_statuses": "[429]",
        "credential_mode": "managed",
        "concurrent_max": "0",
        "queue_max": "100",
        "queue_wait_s": "10",
        "cooldown_after": "5",
        "cooldown_s": "5",
        "cooldown_max_s": "300",
        "check_every_s": "300",
        "verify_tls": "on",
        "credentials-TOTAL_FORMS": "1",
        "credentials-INITIAL_FORMS": "0",
        "credentials-0-label": "main",
        "credentials-0-weight": "1",
        "credentials-0-enabled": "on",
    }
    return {**least, **fields}


def test_a_provider_and_its_credential_are_saved_in_one_go(admin_client):
    answer = admin_client.post(
        reverse("admin:routing_provider_add"), provider_form(**{"credentials-0-secret": SECRET})
    )

    assert answer.status_code == 302
    credential = Credential.objects.get()
    assert secrets.open_sealed(credential.sealed_secret).reveal() == SECRET
    assert SECRET not in credential.sealed_secret
    assert credential.last_four == SECRET[-4:]
    assert all(SECRET not in entry.get_change_message() for entry in LogEntry.objects.all())


def test_a_provider_is_saved_with_rules_of_its_own(admin_client):
    form = provider_form(**{"credentials-0-secret": SECRET})
    form |= {
        "headerrules-TOTAL_FORMS": "1",
        "headerrules-0-action": "force",
        "headerrules-0-name": "X-Title",
        "headerrules-0-value": "gateway",
        "headerrules-0-enabled": "on",
        "headerrules-0-position": "0",
        "transformations-TOTAL_FORMS": "1",
        "transformations-0-direction": "request",
        "transformations-0-kind": "regex",
        "transformations-0-pattern": "sk-[a-z]+",
        "transformations-0-enabled": "on",
        "transformations-0-position": "0",
    }

    answer = admin_client.post(reverse("admin:routing_provider_add"), form)

    assert answer.status_code == 302, answer.content.decode()[:3000]
    provider = Provider.objects.get()
    for row in (HeaderRule.objects.get(), Transformation.objects.get()):
        assert (row.scope, row.provider) == ("provider", provider)


def test_a_provider_s_rule_that_cannot_be_is_told_at_its_field(admin_client):
    form = provider_form(**{"credentials-0-secret": SECRET})
    form |= {
        "headerrules-TOTAL_FORMS": "1",
        "headerrules-0-action": "force",
        "headerrules-0-name": "Authorization",
        "headerrules-0-value": "x",
        "headerrules-0-position": "0",
        "transformations-TOTAL_FORMS": "1",
        "transformations-0-direction": "request",
        "transformations-0-kind": "regex",
        "transformations-0-pattern": "(",
        "transformations-0-position": "0",
    }

    page = admin_client.post(reverse("admin:routing_provider_add"), form).content.decode()

    assert "Authorization is no rule&#x27;s business" in page
    assert "Not an RE2 expression" in page
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"credentials-0-secret": ""}, "A new credential needs its secret."),
        ({"credentials-0-secret": "two words"}, "one word of visible ASCII"),
        ({"base_url": "openrouter.ai", "credentials-0-secret": "x"}, "Enter an address such as"),
        (
            {"base_url": "https://user:pw@host/v1", "credentials-0-secret": "x"},
            "secrets belong into a credential",
        ),
        ({"retry_statuses": "[200]", "credentials-0-secret": "x"}, "list of HTTP error statuses"),
        ({"connect_timeout_s": "0", "credentials-0-secret": "x"}, "greater than or equal to 0.001"),
    ],
)
def test_a_fault_is_told_at_its_field(admin_client, fields, sentence):
    page = admin_client.post(reverse("admin:routing_provider_add"), provider_form(**fields))

    assert page.status_code == 200
    assert sentence in page.content.decode()
    assert not Provider.objects.exists()


def test_an_empty_secret_keeps_the_stored_one_and_a_new_one_replaces_it(admin_client, rows):
    credential = Credential.objects.get()
    address = reverse("admin:routing_credential_change", args=[credential.pk])
    form = {"provider": rows.pk, "label": "main", "weight": "3", "enabled": "on", "secret": ""}

    admin_client.post(address, form)
    credential.refresh_from_db()
    assert (credential.weight, secrets.open_sealed(credential.sealed_secret).reveal()) == (
        3,
        SECRET,
    )

    admin_client.post(address, {**form, "secret": "sk-or-v1-another-secret-9999"})
    credential.refresh_from_db()
    assert secrets.open_sealed(credential.sealed_secret).reveal() == "sk-or-v1-another-secret-9999"


def test_an_alias_its_route_and_targets_are_saved_on_one_page(admin_client, rows):
    deployment = rows.deployments.get()
    answer = admin_client.post(
        reverse("admin:routing_modelalias_add"),
        {
            **NO_RULES,
            "name": "fast",
            "match": "exact",
            "enabled": "on",
            "visible": "on",
            "routes-TOTAL_FORMS": "1",
            "routes-INITIAL_FORMS": "0",
            "routes-0-strategy": "in_order",
            "routes-0-position": "0",
            "routes-0-enabled": "on",
            "routes-0-targets-TOTAL_FORMS": "1",
            "routes-0-targets-INITIAL_FORMS": "0",
            "routes-0-targets-0-position": "0",
            "routes-0-targets-0-weight": "1",
            "routes-0-targets-0-deployment": deployment.pk,
        },
    )

    assert answer.status_code == 302, answer.content.decode()[:3000]
    [target] = snapshot.build().exact["fast"].routes[0].targets
    assert target.upstream_model == deployment.upstream_model


@pytest.mark.parametrize(("action", "word"), [("switch_off", "off"), ("switch_on", "on")])
def test_an_action_says_how_many_rows_it_changed(admin_client, rows, action, word):
    make_provider("second", enabled=action == "switch_off")
    Provider.objects.filter(slug="openrouter").update(enabled=action == "switch_off")
    before = snapshot.version()

    page = admin_client.post(
        reverse("admin:routing_provider_changelist"),
        {"action": action, "_selected_action": list(Provider.objects.values_list("pk", flat=True))},
        follow=True,
    )

    assert f"2 providers switched {word}" in page.content.decode()
    assert snapshot.version() == before + 2


def test_a_page_says_which_snapshot_is_live_and_why_a_newer_one_is_not(admin_client, rows):
    snapshot.put_in_force(snapshot.build())
    snapshot.refuse("a broken row")
    page = admin_client.get(reverse("admin:routing_provider_changelist")).content.decode()
    snapshot.put_in_force(None)

    assert "version" in page
    assert "a broken row" in page


def test_many_warnings_do_not_bury_the_page(admin_client, rows):
    for n in range(6):
        Credential.objects.create(provider=rows, label=f"odd-{n}", sealed_secret="unreadable")
    snapshot.put_in_force(snapshot.build())
    warnings = snapshot.current().warnings
    page = admin_client.get(reverse("admin:routing_provider_changelist")).content.decode()
    snapshot.put_in_force(None)

    assert len(warnings) == 6
    assert "3 more such warnings" in page
    assert page.count('llmgw-bad" role="alert"') == 3


def test_planted_markup_is_shown_as_text(admin_client, rows):
    make_alias("<script>alert(1)</script>", description="<img src=x onerror=alert(1)>")
    page = admin_client.get(reverse("admin:routing_modelalias_changelist")).content.decode()

    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "no target" in page.lower()


def test_tiers_are_filtered_by_their_alias(admin_client):
    near = make_alias("near", make_deployment(make_provider("first")))
    far = make_alias("far", make_deployment(make_provider("second")))
    ModelTier.objects.create(slug="quick", alias=near)
    ModelTier.objects.create(slug="strong", alias=far)
    address = reverse("admin:routing_modeltier_changelist")
    page = admin_client.get(f"{address}?alias__id__exact={far.pk}").content.decode()

    assert ">strong</a>" in page
    assert ">quick</a>" not in page


@pytest.mark.parametrize(
    ("app", "model", "field"),
    [("routing", "routetarget", "deployment"), ("routing", "deployment", "credential")],
)
def test_names_that_are_offered_while_typing_are_read_at_once(
    admin_client, app, model, field, django_assert_max_num_queries
):
    for number in range(12):
        provider = make_provider(f"p{number}")
        make_credential(provider)
        make_deployment(provider, f"m{number}")
    asked = {"app_label": app, "model_name": model, "field_name": field, "term": ""}
    with django_assert_max_num_queries(6):
        found = admin_client.get(reverse("admin:autocomplete"), asked).json()["results"]

    assert len(found) >= 12
