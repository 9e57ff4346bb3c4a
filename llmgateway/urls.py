"""Which address is whose page; /v1/ and /health/ are in hot_urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounting.api import UsageView
from llmgateway.explain_page import explain_page

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("admin/explain/", explain_page, name="explain"),
    path("admin/", admin.site.urls),
    path("usage/", include("accounting.urls")),
    path("api/usage/", UsageView.as_view(), name="api-usage"),
]
