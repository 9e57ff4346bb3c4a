"""Which address of the API is whose."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from llmgateway.api import docs, errors
from llmgateway.api.resources import (
    accounts,
    configuration,
    ledger,
    routing,
    rules,
    tokens,
    virtual_keys,
)

router = SimpleRouter(use_regex_path=False)
for name, resource in (
    ("providers", routing.Providers),
    ("credentials", routing.Credentials),
    ("deployments", routing.Deployments),
    ("aliases", routing.Aliases),
    ("header-rules", rules.HeaderRules),
    ("transformations", rules.Transformations),
    ("flags", routing.Flags),
    ("tiers", routing.Tiers),
    ("agent-types", routing.AgentTypes),
    ("versions", configuration.Versions),
    ("teams", accounts.Teams),
    ("projects", accounts.Projects),
    ("members", accounts.Members),
    ("group-grants", accounts.GroupGrants),
    ("keys", virtual_keys.Keys),
    ("budgets", accounts.Budgets),
    ("alerts", accounts.Alerts),
    ("prices", accounts.Prices),
    ("mask-patterns", accounts.MaskPatterns),
    ("records", ledger.Records),
    ("adjustments", ledger.Adjustments),
    ("logs", ledger.Logs),
    ("audit", ledger.AuditEntries),
    ("tokens", tokens.Tokens),
):
    router.register(name, resource, basename=name)

urlpatterns = [
    path("schema/", docs.DocumentView.as_view(), name="api-schema"),
    path("docs/", docs.docs_page, name="api-docs"),
    path("configuration/", configuration.Configuration.as_view(), name="api-configuration"),
    path("explain/", configuration.Explain.as_view(), name="api-explain"),
    path(
        "providers/<str:slug>/sync-models/",
        configuration.SyncModels.as_view(),
        name="api-sync-models",
    ),
    *router.urls,
    re_path(r"", errors.not_found),
]
