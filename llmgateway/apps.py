"""Makes the project package an app, for its commands."""

from django.apps import AppConfig


class LlmgatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM gateway"

    def ready(self) -> None:
        from llmgateway import auditing  # noqa: PLC0415  (models must be loaded first)

        auditing.listen()
