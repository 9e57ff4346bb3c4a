"""Seals all stored credentials, and the secrets of second factors, with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from llmgateway.sign_in import sealed
from routing import secrets, versions, witnesses
from routing.errors import SecretUnreadable
from routing.models import Credential


class Command(BaseCommand):
    """Run after a new key was put in front of GATEWAY_SEALING_KEYS; then the old one can be taken away."""

    help = "Seal every stored credential with the first key of GATEWAY_SEALING_KEYS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        count = 0
        with transaction.atomic():
            witnesses.told().changes_begin()
            for credential in Credential.objects.select_for_update():
                try:
                    credential.sealed_secret = secrets.reseal(credential.sealed_secret)
                except SecretUnreadable as error:
                    raise CommandError(
                        f"Credential {credential}: {error.message} Nothing was changed."
                    ) from error
                credential.save(update_fields=["sealed_secret"])
                count += 1
            unreadable = versions.reseal()
            factors = self._of_second_factors()
        self.stdout.write(f"{count} credentials sealed with the newest key.")
        if factors:
            self.stdout.write(f"{factors} secrets of second factors sealed with the newest key.")
        if unreadable:
            self.stderr.write(f"{unreadable} secrets of old versions were sealed with lost keys.")

    def _of_second_factors(self) -> int:
        try:
            return sealed.reseal()
        except SecretUnreadable as error:
            raise CommandError(f"A second factor: {error.message} Nothing was changed.") from error
