"""The pages of versions: what changed, by whom, and the way back."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from routing import snapshot, versions
from routing.admin import version as page_module
from routing.models import ConfigurationVersion, Credential, Provider
from tests.factories.routing import SECRET, make_alias, make_deployment, make_provider
from tests.routing.test_admin import provider_form

pytestmark = pytest.mark.django_db
LIST = reverse("admin:routing_configurationversion_changelist")


def address_of(number: int, name: str = "change") -> str:
    row = ConfigurationVersion.objects.get(number=number)
    return reverse(f"admin:routing_configurationversion_{name}", args=[row.pk])


def text_of(client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def two_versions():
    """The provider as it was found, and with more repeats."""
    provider = make_provider()
    make_alias("a", make_deployment(provider))
    with versions.changes_by("grace", "More repeats."):
        provider.retries_max = 7
        provider.save()
    return provider


def test_saving_a_form_is_a_version_of_the_users(admin_client):
    admin_client.post(
        reverse("admin:routing_provider_add"), provider_form(**{"credentials-0-secret": SECRET})
    )

    [version] = ConfigurationVersion.objects.all()
    assert version.author == "admin"
    assert version.summary.startswith("provider openrouter: Added.")
    assert "+  openrouter:" in version.diff


def test_changing_and_deleting_are_versions_that_say_what_was_done(admin_client, two_versions):
    row = Credential.objects.get()
    address = reverse("admin:routing_credential_change", args=[row.pk])
    form = {"provider": two_versions.pk, "label": "main", "weight": "3", "enabled": "on"}
    admin_client.post(address, form)
    assert versions.newest().summary == "credential openrouter/main: Changed Weight."

    admin_client.post(reverse("admin:routing_credential_delete", args=[row.pk]), {"post": "yes"})
    assert versions.newest().summary == "Deleted credential openrouter/main."
    assert not Credential.objects.exists()


def test_an_action_on_many_rows_is_one_version(admin_client, two_versions):
    make_provider("second")
    keys = list(Provider.objects.values_list("pk", flat=True))
    address = reverse("admin:routing_provider_changelist")
    admin_client.post(address, {"action": "switch_off", "_selected_action": keys})

    newest = versions.newest()
    assert newest.summary == "provider openrouter: Switched off. provider second: Switched off."
    assert newest.number == 4  # as found, grace's, the second provider that nobody wrote one of

    admin_client.post(
        address, {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    )
    assert versions.newest().summary == "Deleted provider openrouter, second."


def test_a_form_with_a_fault_is_no_version(admin_client, two_versions):
    page = admin_client.post(reverse("admin:routing_provider_add"), provider_form(base_url="x"))

    assert page.status_code == 200
    assert ConfigurationVersion.objects.count() == 2


def test_the_list_says_when_who_and_what(admin_client, two_versions):
    page = text_of(admin_client, LIST)

    assert "More repeats." in page
    assert "grace" in page
    assert "+1 −1" in page
    assert "Add version" not in page
    assert "llmgateway/versions.css" in text_of(admin_client, address_of(2))


def test_an_empty_list_says_what_it_is_for(admin_client):
    assert "There has been none yet." in text_of(admin_client, LIST)


def test_a_page_shows_what_changed_and_no_secret(admin_client, two_versions):
    make_provider("<script>alert(1)</script>")
    versions.record_others()
    page = text_of(admin_client, address_of(2))

    assert '<div class="llmgw-diff-removed">-      max: 2</div>' in page
    assert '<div class="llmgw-diff-added">+      max: 7</div>' in page
    assert "Roll back to this version" in page
    for number in (1, 2, 3):
        for name in ("change", "roll_back"):
            page = text_of(admin_client, address_of(number, name))
            assert SECRET not in page
            assert Credential.objects.get().sealed_secret not in page
            assert "<script>alert(1)" not in page


def test_a_long_diff_is_cut(admin_client, two_versions, monkeypatch):
    monkeypatch.setattr(page_module, "LINES_SHOWN_MAX", 3)

    assert "more lines" in text_of(admin_client, address_of(1))


def test_what_a_roll_back_would_change_is_shown_before_it_is_done(admin_client, two_versions):
    address = address_of(1, "roll_back")
    page = text_of(admin_client, address)
    assert '<div class="llmgw-diff-added">+      max: 2</div>' in page
    assert Provider.objects.get().retries_max == 7

    answer = admin_client.post(address, {"seen_number": snapshot.version()}, follow=True)

    assert "Rolled back to version 1; live within a second." in answer.content.decode()
    assert answer.redirect_chain[-1][0] == address_of(3)
    assert Provider.objects.get().retries_max == 2
    newest = versions.newest()
    assert (newest.author, newest.summary) == ("admin", "Rolled back to version 1.")


def test_what_changed_since_it_was_shown_is_shown_again(admin_client, two_versions):
    address = address_of(1, "roll_back")
    for seen in (snapshot.version() - 1, "", "x"):
        answer = admin_client.post(address, {"seen_number": seen}, follow=True)
        assert "Nothing was changed." in answer.content.decode()
    assert Provider.objects.get().retries_max == 7


def test_a_roll_back_to_what_is_there_says_so(admin_client, two_versions):
    address = address_of(2, "roll_back")
    assert "there is nothing to change" in text_of(admin_client, address)

    answer = admin_client.post(address, {"seen_number": snapshot.version()}, follow=True)

    assert "Nothing was changed" in answer.content.decode()
    assert ConfigurationVersion.objects.count() == 2


def test_who_may_look_may_not_roll_back(client, django_user_model, two_versions):
    user = django_user_model.objects.create_user("birch", is_staff=True)
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_configurationversion"))
    assert "Roll back to this version" not in text_of(client, address_of(1))

    for ask in (client.get, client.post):
        assert ask(address_of(1, "roll_back")).status_code == 403
    assert client.post(address_of(1), {"summary": "x"}).status_code == 403
    assert Provider.objects.get().retries_max == 7

    user.user_permissions.add(Permission.objects.get(codename="roll_back_configurationversion"))
    assert "What would change" in text_of(client, address_of(1, "roll_back"))


def test_a_routing_page_says_which_version_is_live(admin_client, two_versions):
    snapshot.put_in_force(snapshot.build())
    page = text_of(admin_client, reverse("admin:routing_provider_changelist"))
    snapshot.put_in_force(None)

    assert f'<a href="{LIST}">version 2</a>' in page
