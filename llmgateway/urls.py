"""Which address is whose page; /v1/ and /health/ are in hot_urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounting.api import UsageView
from llmgateway.explain_page import explain_page
from llmgateway.first_steps.pages import first_request_news, first_steps_page
from llmgateway.live_view.page import live_page
from llmgateway.playground import page as playground_page
from llmgateway.replay_page import replay_page
from llmgateway.sign_in.views import admin_sign_in

admin.autodiscover()  # which Django has done already, but not in ``serve``

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("admin/explain/", explain_page, name="explain"),
    path("admin/first-steps/", first_steps_page, name="first-steps"),
    path("admin/first-steps/request/", first_request_news, name="first-steps-request"),
    path("admin/login/", admin_sign_in),
    path("admin/", admin.site.urls),
    path("usage/live/", live_page, name="live"),
    path("usage/playground/", playground_page.playground, name="playground"),
    path("usage/playground/models/", playground_page.models, name="playground-models"),
    path("usage/playground/send/", playground_page.stream, name="playground-send"),
    path("usage/requests/<str:request_id>/replay/", replay_page, name="replay"),
    path("usage/", include("llmgateway.sign_in.urls")),
    path("usage/", include("accounting.urls")),
    path("api/usage/", UsageView.as_view(), name="api-usage"),
    path("api/", include("llmgateway.api.urls")),
]
