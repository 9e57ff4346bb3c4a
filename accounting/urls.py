"""The report pages."""

from django.urls import path

from accounting import reconciliation_page, record_pages, request_pages, team_pages, views
from accounting.audit.pages import audit_page

app_name = "accounting"
urlpatterns = [
    path("", views.usage, name="usage"),
    path("by/<slug:dimension>/", views.usage_by, name="breakdown"),
    path("performance/", views.usage_performance, name="performance"),
    path("caching/", views.usage_caching, name="caching"),
    path("paths/", views.usage_paths, name="paths"),
    path("top/", views.usage_top, name="top"),
    path("budgets/", views.budgets, name="budgets"),
    path("statements/", views.statements, name="statements"),
    path("statements/<str:team>/<str:month>/", views.statement, name="statement"),
    path("audit/", audit_page, name="audit"),
    path("reconciliation/", reconciliation_page.reconciliation, name="reconciliation"),
    path("records.<slug:ending>", record_pages.records, name="records"),
    path("requests/", request_pages.requests_page, name="requests"),
    path("requests/<str:request_id>/", request_pages.request_page, name="request"),
    path(
        "requests/<str:request_id>/<int:attempt>/<slug:name>.txt",
        request_pages.body_file,
        name="request_body",
    ),
    path("teams/", team_pages.teams_page, name="teams"),
    path("teams/<slug:slug>/", team_pages.team_page, name="team"),
    path("teams/<slug:slug>/keys/", team_pages.add_key, name="team_add_key"),
    path("teams/<slug:slug>/keys/<int:pk>/rotate/", team_pages.rotate_key, name="team_rotate_key"),
    path("teams/<slug:slug>/keys/<int:pk>/revoke/", team_pages.revoke_key, name="team_revoke_key"),
    path("teams/<slug:slug>/allowance/", team_pages.set_allowance, name="team_set_allowance"),
    path("teams/<slug:slug>/members/", team_pages.set_member, name="team_set_member"),
]
