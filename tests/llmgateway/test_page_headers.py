"""Every page tells browsers what it may load, and holds nothing that this would forbid."""

from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import get_resolver, reverse

from llmgateway.page_headers import CSP, POLICIES, STRICT_POLICY, add_page_headers

SECOND_FACTOR = ("/usage/second-factor/", "/usage/second-factor/set-up/", "/usage/sign-in/again/")
DATA = {"application/json", "text/template"}


def plain_pages() -> list[str]:
    """The pages that need nothing in their address, of the house and of the admin."""
    found = ["/admin/", "/admin/explain/", "/admin/password_change/"]
    for model in sorted(admin.site._registry, key=lambda model: model._meta.label):
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found += [reverse(f"admin:{name}_changelist"), reverse(f"admin:{name}_add")]
    accounting = get_resolver("accounting.urls")
    for pattern in accounting.url_patterns:
        if "<" not in str(pattern.pattern):
            found.append("/usage/" + str(pattern.pattern))
    return [*found, "/usage/live/", "/usage/playground/", "/usage/sign-in/", *SECOND_FACTOR]


class Inline(HTMLParser):
    """Finds what a policy without ``unsafe-inline`` forbids, and what is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.foreign: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "script" and "src" not in given and given.get("type") not in DATA:
            self.scripts.append(tag)
        if tag == "style" or "style" in given:
            self.styles.append(f"{tag} {given.get('style', '')}")
        self.scripts += [name for name in given if name.startswith("on")]
        self.scripts += [str(v) for v in given.values() if str(v).startswith("javascript:")]
        loaded = given.get("src") or (given.get("href") if tag == "link" else "")
        if loaded and "//" in loaded:
            self.foreign.append(loaded)


def read(content: bytes) -> Inline:
    found = Inline()
    found.feed(content.decode())
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("path", plain_pages())
def test_a_page_holds_nothing_that_its_policy_forbids(client, admin_user, path):
    if path != "/usage/sign-in/":
        client.force_login(admin_user)
    answer = client.get(path)
    # Ledgers cannot be added to: their refusal is a page, too.
    assert answer.status_code in (200, 302, 403)
    expected = POLICIES["/admin/"] if path.startswith("/admin/") else STRICT_POLICY
    assert answer[CSP] == expected
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert "camera=()" in answer["Permissions-Policy"]
    found = read(answer.content)
    assert found.scripts == []
    assert found.foreign == []
    if not path.startswith("/admin/"):
        assert found.styles == []


def test_scripts_are_strict_everywhere_and_nothing_comes_from_elsewhere():
    for text in (STRICT_POLICY, *POLICIES.values()):
        directives = dict(part.split(" ", 1) for part in text.split("; "))
        assert directives["default-src"] == "'none'"
        assert "unsafe-inline" not in directives["script-src"]
        assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
        assert "*" not in text
        assert "http" not in text
    assert "unsafe" not in STRICT_POLICY


def test_what_is_forbidden_would_be_found():
    found = read(
        b'<script>x</script><p style="color:red" onclick="x"><a href="javascript:x">'
        b'<script src="//cdn.example/x.js"></script><script type="application/json">{}</script>'
    )
    assert found.scripts == ["script", "onclick", "javascript:x"]
    assert found.styles == ["p color:red"]
    assert found.foreign == ["//cdn.example/x.js"]


async def test_a_view_that_sets_its_own_policy_keeps_it():
    async def view(_request):
        return HttpResponse(headers={CSP: "default-src 'self'"})

    answer = await add_page_headers(view)(RequestFactory().get("/usage/"))
    assert answer[CSP] == "default-src 'self'"
    assert "Permissions-Policy" in answer


@pytest.mark.django_db
def test_a_page_that_is_not_there_and_the_api_have_a_policy_too(client):
    assert client.get("/nothing/")[CSP] == STRICT_POLICY
    assert client.get("/api/usage/")[CSP] == POLICIES["/api/"]
