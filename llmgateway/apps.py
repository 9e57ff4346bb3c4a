"""Makes the project package an app, for its commands."""

from django.apps import AppConfig


class LlmgatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM gateway"
