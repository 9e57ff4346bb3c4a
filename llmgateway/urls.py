"""Which address is whose; /v1/ and /health/ are in hot_urls.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("admin/", admin.site.urls),
    path("usage/", include("accounting.urls")),
]
