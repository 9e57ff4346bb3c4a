"""Which address of signing in is whose. The names are those by which django-allauth looks for its pages."""

from collections.abc import Callable
from functools import partial
from typing import Any

from allauth.account.views import ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as CodeAgainView
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from django.http.response import HttpResponseBase
from django.urls import path
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from llmgateway.sign_in import views
from llmgateway.sign_in.codes import CodeAgainForm, CodeForm


def _page(view: type[View], template: str, **more: Any) -> Callable[..., HttpResponseBase]:
    return never_cache(view.as_view(template_name=f"sign_in/{template}.html", **more))


urlpatterns = [
    path("sign-in/", views.SignIn.as_view(), name="account_login"),
    path("sign-out/", views.SignOut.as_view(), name="account_logout"),
    path(
        "sign-in/code/",
        _page(AuthenticateView, "code", form_class=CodeForm),
        name="mfa_authenticate",
    ),
    path(
        "sign-in/again/",
        _page(ReauthenticateView, "again"),
        name="account_reauthenticate",
    ),
    path(
        "sign-in/again/code/",
        _page(CodeAgainView, "again", form_class=CodeAgainForm),
        name="mfa_reauthenticate",
    ),
    path("sign-in/cancelled/", views.cancelled, name="socialaccount_login_cancelled"),
    path("sign-in/to/<slug:provider_id>/", views.begin_oidc, name="openid_connect_login"),
    path(
        "sign-in/from/<slug:provider_id>/",
        views.come_back_from_oidc,
        name="openid_connect_callback",
    ),
    *(
        path(
            f"sign-in/<slug:organization_slug>/{step}/",
            # The answer comes as a form from the identity provider's page, signed by it.
            csrf_exempt(partial(views.saml, step=step)),
            name=name,
        )
        for step, name in (
            ("login", "saml_login"),
            ("acs", "saml_acs"),
            ("acs/finish", "saml_finish_acs"),
            ("sls", "saml_sls"),
            ("metadata", "saml_metadata"),
        )
    ),
    path("second-factor/", _page(views.SecondFactor, "second_factor"), name="mfa_index"),
    path("second-factor/set-up/", _page(ActivateTOTPView, "set_up"), name="mfa_activate_totp"),
    path("second-factor/remove/", _page(DeactivateTOTPView, "remove"), name="mfa_deactivate_totp"),
    path(
        "second-factor/recovery-codes/",
        _page(ViewRecoveryCodesView, "recovery_codes"),
        name="mfa_view_recovery_codes",
    ),
    path(
        "second-factor/recovery-codes/new/",
        _page(GenerateRecoveryCodesView, "new_recovery_codes"),
        name="mfa_generate_recovery_codes",
    ),
]
