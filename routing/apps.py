"""Registers the app."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        from routing import snapshot  # noqa: PLC0415  (models must be loaded before their rows can be listened to)

        snapshot.listen()
