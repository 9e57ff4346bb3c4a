"""How the admin looks and what its side bar leads to: django-unfold's settings, which nobody changes from outside."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "LLM gateway",
    "SITE_HEADER": "LLM gateway",
    "SITE_URL": "/usage/",
    "SITE_ICON": "/static/llmgateway/mark.svg",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "/static/llmgateway/mark.svg"}
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": True,
    "DASHBOARD_CALLBACK": "llmgateway.dashboard.fill",
    "STYLES": ["/static/llmgateway/admin.css"],
    "SCRIPTS": ["/static/llmgateway/admin.js", "/static/llmgateway/copy.js"],
    "COLORS": {
        "primary": {
            "50": "240 253 250",
            "100": "204 251 241",
            "200": "153 246 228",
            "300": "94 234 212",
            "400": "45 212 191",
            "500": "20 184 166",
            "600": "15 118 110",
            "700": "17 94 89",
            "800": "19 78 74",
            "900": "11 63 60",
            "950": "4 47 46",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "items": [
                    {"title": "Dashboard", "icon": "dashboard", "link": "/admin/"},
                    {
                        "title": "First steps",
                        "icon": "flag",
                        "link": "/admin/first-steps/",
                        "permission": "llmgateway.first_steps.pages.may_set_up",
                    },
                    {"title": "Usage report", "icon": "bar_chart", "link": "/usage/"},
                    {"title": "Requests", "icon": "manage_search", "link": "/usage/requests/"},
                    {"title": "Playground", "icon": "chat", "link": "/usage/playground/"},
                    {
                        "title": "Usage records",
                        "icon": "receipt_long",
                        "link": "/admin/accounting/usagerecord/",
                    },
                    {
                        "title": "Request log",
                        "icon": "data_object",
                        "link": "/admin/accounting/requestlog/",
                    },
                ],
            },
            {
                "title": "Routing",
                "separator": True,
                "items": [
                    {"title": "Providers", "icon": "cloud", "link": "/admin/routing/provider/"},
                    {"title": "Credentials", "icon": "lock", "link": "/admin/routing/credential/"},
                    {
                        "title": "Deployments",
                        "icon": "deployed_code",
                        "link": "/admin/routing/deployment/",
                    },
                    {
                        "title": "Model aliases",
                        "icon": "alt_route",
                        "link": "/admin/routing/modelalias/",
                    },
                    {"title": "Routes", "icon": "route", "link": "/admin/routing/route/"},
                    {
                        "title": "Agent types",
                        "icon": "smart_toy",
                        "link": "/admin/routing/agenttype/",
                    },
                    {
                        "title": "Model tiers",
                        "icon": "stairs",
                        "link": "/admin/routing/modeltier/",
                    },
                    {
                        "title": "Header rules",
                        "icon": "rule",
                        "link": "/admin/routing/headerrule/",
                    },
                    {
                        "title": "Transformations",
                        "icon": "find_replace",
                        "link": "/admin/routing/transformation/",
                    },
                    {
                        "title": "Feature flags",
                        "icon": "toggle_on",
                        "link": "/admin/routing/featureflag/",
                    },
                    {
                        "title": "Versions",
                        "icon": "history",
                        "link": "/admin/routing/configurationversion/",
                    },
                    {
                        "title": "Explain route",
                        "icon": "account_tree",
                        "link": "/admin/explain/",
                        "permission": "llmgateway.explain_page.may_explain",
                    },
                ],
            },
            {
                "title": "Accounts",
                "separator": True,
                "items": [
                    {"title": "Teams", "icon": "groups", "link": "/admin/accounting/team/"},
                    {"title": "Projects", "icon": "folder", "link": "/admin/accounting/project/"},
                    {"title": "API keys", "icon": "key", "link": "/admin/accounting/virtualkey/"},
                    {
                        "title": "Members",
                        "icon": "badge",
                        "link": "/admin/accounting/membership/",
                    },
                    {
                        "title": "Groups",
                        "icon": "group_work",
                        "link": "/admin/accounting/groupgrant/",
                    },
                    {
                        "title": "Budgets",
                        "icon": "savings",
                        "link": "/admin/accounting/budget/",
                    },
                    {
                        "title": "Budget alerts",
                        "icon": "notifications",
                        "link": "/admin/accounting/budgetalert/",
                    },
                    {"title": "Prices", "icon": "sell", "link": "/admin/accounting/price/"},
                    {
                        "title": "Adjustments",
                        "icon": "balance",
                        "link": "/admin/accounting/adjustment/",
                    },
                    {
                        "title": "Mask patterns",
                        "icon": "visibility_off",
                        "link": "/admin/accounting/maskpattern/",
                    },
                    {"title": "Users", "icon": "person", "link": "/admin/auth/user/"},
                    {
                        "title": "API tokens",
                        "icon": "vpn_key",
                        "link": "/admin/api/apitoken/",
                    },
                    {"title": "Management API", "icon": "api", "link": "/api/docs/"},
                    {
                        "title": "Audit trail",
                        "icon": "policy",
                        "link": "/admin/accounting/auditentry/",
                        "permission": "accounting.audit.access.may_see_all",
                    },
                ],
            },
        ],
    },
}
