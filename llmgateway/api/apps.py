"""Registers the app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "llmgateway.api"
    label = "api"
    verbose_name = "Management API"
