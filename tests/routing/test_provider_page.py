"""What the pages of providers tell of their health, and the button that looks at once."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from llmgateway import dashboard
from routing import checks
from routing.checks import Finding
from routing.models import Provider, ProviderCheck
from routing.providers.facts import ProviderState
from tests.factories.routing import SECRET, make_credential, make_provider
from tests.fakes.upstream import json_answer
from tests.routing.test_commands import running_upstream

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def page_of(client, row: Provider) -> str:
    return client.get(reverse("admin:routing_provider_change", args=[row.pk])).content.decode()


def list_of(client) -> str:
    return client.get(reverse("admin:routing_provider_changelist")).content.decode()


def test_the_list_says_how_each_provider_is(admin_client):
    checks.store(make_provider("well").pk, Finding(ProviderState(), NOON))
    long = ProviderState(problem="<b>No such key</b> " + "x" * 200)
    checks.store(make_provider("ill").pk, Finding(long, NOON))
    make_provider("new")
    make_provider("never", check_every_s=0)
    page = list_of(admin_client)

    assert '<span class="llmgw-reason">&lt;b&gt;No such key&lt;/b&gt; xxx' in page
    assert "x" * 110 not in page
    assert page.count("not checked yet") == 1
    assert page.count("not checked") == 2


def test_the_list_asks_the_database_no_more_often_for_more_providers(
    admin_client, django_assert_max_num_queries
):
    for number in range(8):
        checks.store(make_provider(f"p{number}").pk, Finding(ProviderState(), NOON))
    with django_assert_max_num_queries(14):
        list_of(admin_client)


def test_the_page_tells_the_last_look(admin_client):
    row = make_provider()
    assert "not checked yet" in page_of(admin_client, row)

    state = ProviderState(detail="paid", credit_usd=Decimal("2.25"), latency_ms=7)
    checks.store(row.pk, Finding(state, NOON))
    assert "ok, paid, 2.25 USD left, 7 ms (2026-11-20 12:00:00 UTC)" in page_of(admin_client, row)


@pytest.mark.parametrize(
    "field",
    [
        "credential_mode",
        "concurrent_max",
        "queue_max",
        "queue_wait_s",
        "cooldown_after",
        "cooldown_s",
        "cooldown_max_s",
        "check_every_s",
        "check_model",
    ],
)
def test_every_field_can_be_edited(admin_client, field):
    assert f'name="{field}"' in page_of(admin_client, make_provider())


def test_the_button_looks_at_once_and_tells_what_it_found(admin_client):
    with running_upstream() as upstream:
        row = make_provider("router", base_url=upstream.url)
        make_credential(row)
        upstream.default = json_answer({"data": {"limit_remaining": 3, "is_free_tier": True}})
        upstream.answers(upstream.default, json_answer({}), json_answer({"data": [{"id": "a"}]}))
        address = reverse("admin:routing_provider_test_connection", args=[row.pk])
        page = admin_client.get(address, follow=True).content.decode()

        assert "router: ok, free tier, 3 USD left, " in page
        assert ", 1 model\n" in page
        assert ProviderCheck.objects.get().problem == ""

        upstream.default = json_answer({"error": {"message": "No such key"}}, status=401)
        page = admin_client.get(address, follow=True).content.decode()
        assert "router: No such key" in page
        assert SECRET not in page
        assert ProviderCheck.objects.get().problem == "No such key"


def test_a_provider_can_be_looked_at_before_it_is_switched_on(admin_client):
    row = make_provider("demo", kind="demo", enabled=False)
    address = reverse("admin:routing_provider_test_connection", args=[row.pk])

    page = admin_client.get(address, follow=True).content.decode()
    assert "demo: ok, answers inside the gateway" in page
    assert ProviderCheck.objects.filter(provider=row).exists()


def test_only_who_may_change_providers_may_look(client, django_user_model):
    row = make_provider(kind="demo")
    address = reverse("admin:routing_provider_test_connection", args=[row.pk])
    assert client.get(address).status_code == 302
    client.force_login(django_user_model.objects.create_user("birch", is_staff=True))
    assert client.get(address).status_code == 403
    assert not ProviderCheck.objects.exists()


@pytest.mark.parametrize("may_change_credentials", [False, True])
def test_credentials_are_led_elsewhere_by_who_may_change_them_only(
    client, django_user_model, may_change_credentials
):
    row = make_provider("router", base_url="https://router.test/v1")
    make_credential(row)
    names = ["change_provider", *(["change_credential"] if may_change_credentials else [])]
    user = django_user_model.objects.create_user("birch", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    is_open = 'name="base_url"' in page_of(client, row)
    form = Provider.objects.values().get(pk=row.pk) | {"base_url": "https://elsewhere.test/v1"}
    form = {name: value for name, value in form.items() if value is not None and value is not False}
    form["retry_statuses"] = "[429]"
    for part in ("credentials", "headerrules", "transformations"):
        form |= {f"{part}-TOTAL_FORMS": 0, f"{part}-INITIAL_FORMS": 0}
    answer = client.post(reverse("admin:routing_provider_change", args=[row.pk]), form)

    assert answer.status_code == 302, answer.context["errors"]
    row.refresh_from_db()
    assert row.retry_statuses == [429]
    assert (row.base_url == "https://elsewhere.test/v1") is may_change_credentials is is_open
    assert 'name="base_url"' in page_of(client, make_provider("new"))


def test_a_provider_with_a_problem_is_a_concern_of_the_dashboard(admin_client):
    state = ProviderState(problem="No such key")
    row = make_provider("ill", kind="demo")
    checks.store(row.pk, Finding(state, NOON))
    checks.store(make_provider("off", kind="demo", enabled=False).pk, Finding(state, NOON))
    checks.store(make_provider("well", kind="demo").pk, Finding(ProviderState(), NOON))
    [concern] = [c for c in dashboard.concerns() if "problem" in c.sentence]

    assert concern.sentence == (
        "Provider ill has a problem: No such key (seen 2026-11-20 12:00 UTC)."
    )
    assert concern.link == reverse("admin:routing_provider_change", args=[row.pk])
    assert concern.sentence in admin_client.get("/admin/").content.decode()
