"""What the page of an API key says of the names that it may ask for."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from accounting.models import VirtualKey
from tests.factories.accounting import make_key, make_team
from tests.factories.routing import make_alias

pytestmark = pytest.mark.django_db


def told_on_change(client, names: str) -> list[str]:
    row = make_key().row
    form = {"team": row.team_id, "name": row.name, "enabled": "on", "allowed_aliases": names}
    answer = client.post(reverse("admin:accounting_virtualkey_change", args=[row.pk]), form)
    assert answer.status_code == 302
    row.refresh_from_db()
    assert row.allowed_aliases == names.split(", ")
    return [str(told) for told in get_messages(answer.wsgi_request) if told.level_tag == "warning"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("claude-sonnet", []),
        ("claude-*, gpt-5", []),
        ("openrouter/any", []),
        ("claude-sonet", ["Did you mean claude-sonnet?"]),
        ("mistral-*", ["no model alias fits 'mistral-*'"]),
        ("gpt-6, gpt-7", ["'gpt-6' is not known here", "'gpt-7' is not known here"]),
    ],
    ids=["known", "patterns", "by a pattern", "mistyped", "a pattern of nothing", "two"],
)
def test_names_that_lead_nowhere_are_told_and_taken(admin_client, names, said):
    make_alias("claude-sonnet")
    make_alias("gpt-5")
    make_alias("openrouter/*", match="wildcard")
    found = told_on_change(admin_client, names)

    assert len(found) == len(said)
    for sentence, words in zip(found, said, strict=True):
        assert words in sentence


def test_the_answer_that_shows_a_new_key_tells_it_too(admin_client):
    make_alias("claude-sonnet")
    form = {"team": make_team().pk, "name": "ci", "allowed_aliases": "sonnet", "enabled": "on"}
    page = admin_client.post(reverse("admin:accounting_virtualkey_add"), form).content.decode()

    assert "&#x27;sonnet&#x27; is not known here" in page
    assert VirtualKey.objects.count() == 1
