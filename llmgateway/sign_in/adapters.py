"""What django-allauth asks the house: which steps a sign-in has, where it leads, and how secrets are kept."""

import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from llmgateway.sign_in.pages import refused
from routing import secrets

CODE_STAGE = "allauth.mfa.stages.AuthenticateStage"


class AccountAdapter(DefaultAccountAdapter):
    """People are made by administrators or come from an identity provider; nobody signs up by a form."""

    def is_open_for_signup(self, _request: HttpRequest) -> bool:
        return False

    def get_login_stages(self) -> list[str]:
        """After the password or the identity provider: the code, for who has a second factor."""
        return [] if settings.TWO_FACTOR == "off" else [CODE_STAGE]

    def get_login_redirect_url(self, _request: HttpRequest) -> str:
        """Where a sign-in leads that was not on the way to another page."""
        return reverse("accounting:usage")

    def is_safe_url(self, url: str) -> bool:
        """Whether a sign-in may lead there: to pages of this host only."""
        request = context.request
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )

    def reauthenticate(self, user: User, password: str) -> bool:
        """Whether the password is theirs; wrong ones count as at sign-in."""
        found = authenticate(context.request, username=user.get_username(), password=password)
        return found is not None and found.pk == user.pk

    def is_reauthentication_required(self, *, app: str, **_more: Any) -> bool:
        """Whether the last password or code is longer ago than a change of the second factor may follow it."""
        del app
        records = get_authentication_records(context.request, context.request.user)
        last_s = max((record["at"] for record in records), default=0.0)
        return bool(time.time() - last_s > app_settings.REAUTHENTICATION_TIMEOUT)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        """The page for somebody whose account is switched off."""
        return refused(
            request,
            f"The account {user.get_username()} is switched off. Ask whoever runs this gateway.",
        )

    def add_message(self, *_args: Any, **_words: Any) -> None:
        """Pages of the house say what was done; the library's messages would turn up later, in the admin."""


class SecondFactorAdapter(DefaultMFAAdapter):
    """Seals the secrets of second factors with the keys that seal credentials."""

    def encrypt(self, text: str) -> str:
        return secrets.seal(text).token

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.open_sealed(encrypted_text).reveal()

    def get_totp_label(self, user: User) -> str:
        """The name that the app on the phone shows."""
        return user.get_username()
