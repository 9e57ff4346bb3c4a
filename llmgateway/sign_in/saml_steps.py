"""Sign-in by SAML 2.0, begun here: django-allauth and python3-saml, with what the house adds around them.

An answer counts when the identity provider has signed it or its assertion, it is for this gateway and of now, and it
answers a request that this browser's session began: that is taken once, so an answer cannot be sent again.
"""

import logging
from collections.abc import Callable
from typing import Any

from allauth.socialaccount.providers.saml import views
from django.conf import settings
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser

from accounting.audit.sign_ins import note_failure
from llmgateway.sign_in.configuration import FILE
from llmgateway.sign_in.pages import refused
from llmgateway.sign_in.providers import FAILED

log = logging.getLogger(__name__)

ANSWER_CHARS_MAX = 256 * 1024
AWAY = "What the identity provider says of itself cannot be read. Try again later, or sign in with a password."


def _begin(request: HttpRequest, slug: str) -> HttpResponse:
    kept = QueryDict(mutable=True)
    if request.GET.get("next"):
        kept["next"] = request.GET["next"]
    request.GET = kept  # type: ignore[assignment]
    return _guarded(views.login, request, slug)


def _answer(request: HttpRequest, slug: str) -> HttpResponse:
    """The provider's page sends a form here, without the session's cookie; the next step has it again."""
    if request.method != "POST":
        return redirect("account_login")
    answer = request.POST.get("SAMLResponse", "")
    if not 0 < len(answer) <= ANSWER_CHARS_MAX:
        return refused(request, FAILED, status=400)
    return _guarded(views.acs, request, slug)


def _finish(request: HttpRequest, slug: str) -> HttpResponse:
    return _guarded(views.finish_acs, request, slug)


def _metadata(request: HttpRequest, slug: str) -> HttpResponse:
    return _guarded(views.metadata, request, slug)


def _no_log_out(request: HttpRequest, _slug: str) -> HttpResponse:
    return refused(
        request, "This gateway takes no part in single log-out: sign out here.", status=400
    )


STEPS: dict[str, Callable[[HttpRequest, str], HttpResponse]] = {
    "login": _begin,
    "acs": _answer,
    "acs/finish": _finish,
    "metadata": _metadata,
    "sls": _no_log_out,
}


def _guarded(view: Any, request: HttpRequest, slug: str) -> HttpResponse:
    app = settings.SOCIALACCOUNT_PROVIDERS["saml"]["APPS"][0]
    if slug != app["client_id"]:
        raise Http404("No identity provider is set up under this name.")
    try:
        _know_metadata(app["settings"]["idp"])
        return view(request, organization_slug=slug)  # type: ignore[no-any-return]
    except (
        OSError,
        ValueError,
        OneLogin_Saml2_Error,
        SyntaxError,
    ) as error:  # lxml says SyntaxError
        log.warning("sign-in refused", extra={"provider": app["name"], "reason": str(error)[:300]})
        if view is views.finish_acs:
            note_failure("")
            return refused(request, FAILED)
        return refused(request, AWAY, status=502)


def _know_metadata(idp: dict[str, Any]) -> None:
    """Put metadata that lie in a file where django-allauth keeps those that it has fetched."""
    key = f"saml.metadata.{idp['metadata_url']}.{idp['entity_id']}"
    if idp["metadata_url"] != FILE or cache.get(key) is not None:
        return
    with open(idp["metadata_file"], encoding="utf-8") as file:
        text = file.read()
    cache.set(key, OneLogin_Saml2_IdPMetadataParser.parse(text, entity_id=idp["entity_id"]), None)
