"""The pages of signing in and out; the second factor's are django-allauth's, in the house's dress (urls.py)."""

from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from allauth.mfa.base.views import IndexView
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from llmgateway.sign_in import second_factor
from llmgateway.sign_in.pages import refused


class SignIn(LoginView):
    """GET and POST /usage/sign-in/: for everybody; whoever has a second factor is asked for it next."""

    template_name = "sign_in/sign_in.html"
    redirect_authenticated_user = True
    next_page = "accounting:usage"

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        """With the other ways in."""
        return {**super().get_context_data(**more), "ways": other_ways()}

    def get_redirect_url(self, request: HttpRequest | None = None) -> str:
        """Where the address says that one wants to go, unless that is here: one would go round for ever."""
        del request
        url: str = super().get_redirect_url()
        return "" if urlsplit(url).path == self.request.path else url

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        """Only half of the way for who has a second factor: nobody is signed in until it is shown, too."""
        user = form.get_user()
        login = Login(user=user, redirect_url=self.get_success_url())
        words = {"username": user.get_username()}
        return perform_password_login(self.request, words, login)  # type: ignore[no-any-return]


def other_ways() -> list[dict[str, str]]:
    """The identity providers that are set up: what their buttons say, and where they lead."""
    apps = settings.SOCIALACCOUNT_PROVIDERS
    ways = [
        (app["name"], reverse("openid_connect_login", args=[app["provider_id"]]))
        for app in apps["openid_connect"]["APPS"]
    ]
    ways += [
        (app["name"], reverse("saml_login", args=[app["client_id"]]))
        for app in apps["saml"]["APPS"]
    ]
    return [{"name": name, "url": url} for name, url in ways]


# The code of identity providers' ways is loaded when somebody goes them: most gateways have none.


@never_cache
def begin_oidc(request: HttpRequest, provider_id: str) -> HttpResponse:
    """/usage/sign-in/to/<provider>/: on to an OpenID Connect provider."""
    from llmgateway.sign_in import oidc  # noqa: PLC0415

    return oidc.begin(request, provider_id)


@never_cache
def come_back_from_oidc(request: HttpRequest, provider_id: str) -> HttpResponse:
    """/usage/sign-in/from/<provider>/: back from it."""
    from llmgateway.sign_in import oidc  # noqa: PLC0415

    return oidc.come_back(request, provider_id)


@never_cache
def saml(request: HttpRequest, step: str, organization_slug: str) -> HttpResponse:
    """/usage/sign-in/saml/…: the steps of SAML."""
    if not settings.SOCIALACCOUNT_PROVIDERS["saml"]["APPS"]:
        raise Http404("No identity provider is set up.")
    from llmgateway.sign_in import saml_steps  # noqa: PLC0415

    return saml_steps.STEPS[step](request, organization_slug)


def cancelled(request: HttpRequest) -> HttpResponse:
    """Somebody has turned back at the identity provider."""
    return refused(request, "You turned back at the identity provider, so nobody was signed in.")


class SignOut(LogoutView):
    """POST /usage/sign-out/."""

    next_page = "account_login"


class SecondFactor(IndexView):
    """GET /usage/second-factor/: whether one has a second factor, and what to do about it."""

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        """With whether the page is all that they may see."""
        request = self.request
        return {
            **super().get_context_data(**more),
            "is_missing": second_factor.is_missing(request.user, request.session),
            "is_off": settings.TWO_FACTOR == "off",
        }


@never_cache
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """/admin/login/: there is one page for signing in, so that nothing goes round it."""
    if request.user.is_authenticated and not request.user.is_staff:
        return refused(
            request,
            f"You are signed in as {request.user.get_username()}, who may not open the admin. "
            "Your own pages are at /usage/.",
        )
    wanted = request.GET.get("next") or request.POST.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()})
    target = wanted if is_ours else reverse("admin:index")
    return HttpResponseRedirect(f"{reverse('account_login')}?{urlencode({'next': target})}")
