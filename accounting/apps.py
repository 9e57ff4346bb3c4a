"""Registers the app."""

from django.apps import AppConfig


class AccountingConfig(AppConfig):
    """Django's handle on the app."""

    name = "accounting"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Listen to the rows that the picture of keys is made of."""
        from accounting import snapshot  # noqa: PLC0415  (models must be loaded first)

        snapshot.listen()
