"""The addresses of the hot path, served by lean_handler.py."""

from django.urls import path, re_path

from conversion.dialects import Dialect
from llmgateway import views

urlpatterns = [
    path("v1/messages", views.answering(Dialect.ANTHROPIC_MESSAGES)),
    path("v1/chat/completions", views.answering(Dialect.OPENAI_CHAT)),
    path("v1/messages/count_tokens", views.count_tokens),
    path("v1/completions", views.answering(Dialect.OPENAI_COMPLETIONS)),
    path("v1/embeddings", views.answering(Dialect.OPENAI_EMBEDDINGS)),
    path("v1/models", views.models),
    path("v1/models/<path:model_id>", views.models),
    path("health/live", views.live),
    path("health/ready", views.ready),
    path("metrics", views.metrics_page),
    path("health/providers", views.providers),
    re_path(r"^(?P<rest>.*)$", views.unknown),
]
