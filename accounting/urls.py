"""The report pages."""

from django.urls import path

from accounting import views

app_name = "accounting"
urlpatterns = [path("", views.usage, name="usage")]
