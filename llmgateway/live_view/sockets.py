"""The WebSockets of the program: who asks is known by the session, and only pages of this host may ask."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from llmgateway.live_view.consumer import LiveConsumer

application = AllowedHostsOriginValidator(
    AuthMiddlewareStack(URLRouter([path("ws/live/", LiveConsumer.as_asgi())]))
)
