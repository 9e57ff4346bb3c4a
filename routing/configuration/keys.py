"""The names that a configuration file uses, and the fields they stand for."""

VERSION = 1
PROVIDER = {
    "kind",
    "base_url",
    "dialect",
    "enabled",
    "timeouts",
    "verify_tls",
    "ca_bundle_pem",
    "retries",
    "credentials",
}
TIMEOUTS = {
    "connect_s": "connect_timeout_s",
    "first_byte_s": "first_byte_timeout_s",
    "idle_s": "idle_timeout_s",
    "total_s": "total_timeout_s",
}
RETRIES = {
    "max": "retries_max",
    "backoff_s": "backoff_s",
    "backoff_max_s": "backoff_max_s",
    "statuses": "retry_statuses",
    "network_errors": "retry_network_errors",
}
CREDENTIAL = {"label", "secret", "weight", "enabled"}
ALIAS = {"match", "visible", "enabled", "description", "strategy", "targets"}
TARGET = {
    "provider",
    "model",
    "weight",
    "credential",
    "context_window_tokens",
    "max_output_tokens",
    "parameters",
    "quirks",
}
DEPLOYMENT = {
    "context_window_tokens": "context_window_tokens",
    "max_output_tokens": "max_output_tokens",
    "parameters": "parameters",
    "quirks": "traits",
}
FLAG = {"enabled", "percentage", "teams", "keys"}
