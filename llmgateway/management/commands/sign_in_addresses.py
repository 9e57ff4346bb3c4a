"""Prints what an identity provider must be told of this gateway."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.urls import reverse


class Command(BaseCommand):
    """Reads the settings only; the provider is not asked."""

    help = "Print the addresses to enter at the identity providers that are set up."

    def handle(self, *_args: Any, **_options: Any) -> None:
        base = settings.PUBLIC_URL or "http://HOST:PORT"
        apps = settings.SOCIALACCOUNT_PROVIDERS
        for app in apps["openid_connect"]["APPS"]:
            back = reverse("openid_connect_callback", args=[app["provider_id"]])
            self.stdout.write(f"{app['name']} (OpenID Connect)\n  redirect URI  {base}{back}")
        for app in apps["saml"]["APPS"]:
            about, answers = (
                base + reverse(name, args=[app["client_id"]])
                for name in ("saml_metadata", "saml_acs")
            )
            self.stdout.write(
                f"{app['name']} (SAML)\n  metadata      {about}\n  answers to    {answers}"
            )
        if not (apps["openid_connect"]["APPS"] or apps["saml"]["APPS"]):
            self.stdout.write("No identity provider is set up: docs/operators/sign-in.md says how.")
