"""The names that a configuration file uses, and the fields they stand for."""

VERSION = 1

PROVIDER_FIELDS = (
    "kind",
    "base_url",
    "dialect",
    "enabled",
    "verify_tls",
    "ca_bundle_pem",
    "credential_mode",
)
PROVIDER_GROUPS = {
    "timeouts": {
        "connect_s": "connect_timeout_s",
        "first_byte_s": "first_byte_timeout_s",
        "idle_s": "idle_timeout_s",
        "total_s": "total_timeout_s",
    },
    "retries": {
        "max": "retries_max",
        "backoff_s": "backoff_s",
        "backoff_max_s": "backoff_max_s",
        "statuses": "retry_statuses",
        "network_errors": "retry_network_errors",
    },
    "concurrency": {"max": "concurrent_max", "queue": "queue_max", "wait_s": "queue_wait_s"},
    "cooldown": {"after": "cooldown_after", "first_s": "cooldown_s", "longest_s": "cooldown_max_s"},
    "checks": {"every_s": "check_every_s", "model": "check_model"},
}
"""Settings that stand in a mapping of their own."""
PROVIDER = {*PROVIDER_FIELDS, *PROVIDER_GROUPS, "credentials", "deployments", "header_rules"}
CREDENTIAL = {"label", "secret", "weight", "enabled"}
FACTS = {
    "context_window_tokens": "context_window_tokens",
    "max_output_tokens": "max_output_tokens",
    "takes_tools": "takes_tools",
    "takes_images": "takes_images",
    "can_reason": "can_reason",
    "can_cache": "can_cache",
    "quirks": "traits",
}
"""What is true of a deployment, whichever route leads there; may stand at a target too."""
DEPLOYMENT_FIELDS = {"enabled": "enabled", **FACTS, "parameters": "parameters"}
DEPLOYMENT = {"model", "credential", "sources", *DEPLOYMENT_FIELDS}

ALIAS_FIELDS = ("match", "visible", "enabled", "description")
ROUTE_FIELDS = {"strategy": "strategy", "sticky": "is_sticky", "enabled": "enabled"}
ROUTE_WORDS = ("teams", "projects", "keys", "agent_types", "tiers", "request_classes")
"""Conditions of a route that are lists of words."""
ROUTE_WHEN = {*ROUTE_WORDS, "header"}
ROUTE = {*ROUTE_FIELDS, "when", "targets"}
SHORT_ROUTE = ("strategy", "sticky", "targets")
"""What may stand at an alias that has just one route."""
ALIAS = {*ALIAS_FIELDS, *SHORT_ROUTE, "routes", "header_rules"}
TARGET_WHEN = {
    "prompt_longer_than_tokens": "prompt_tokens_over",
    "prompt_at_most_tokens": "prompt_tokens_at_most",
    "tools": "only_with_tools",
    "images": "only_with_images",
    "reasoning": "only_with_reasoning",
}
TARGET = {"provider", "model", "credential", "weight", "parameters", "when", *FACTS}

HEADER_RULE_FIELDS = ("action", "name", "value", "enabled", "position")
TRANSFORMATION_FIELDS = (
    "scope",
    "direction",
    "kind",
    "pattern",
    "flags",
    "replacement",
    "value",
    "name",
    "enabled",
)
TRANSFORMATION = {*TRANSFORMATION_FIELDS, "provider", "alias"}

TIER = {"alias", "description"}
AGENT_TYPE_FIELDS = ("header", "value", "enabled", "position")
AGENT_TYPE = {*AGENT_TYPE_FIELDS, "tier"}
FLAG = {"enabled", "percentage", "teams", "keys"}
FLAG_SCOPE = {"enabled", "percentage"}
