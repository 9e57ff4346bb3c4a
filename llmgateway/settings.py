"""Every setting of the program, and every environment variable it reads, with unit and default.

What an operator changes while the program runs is a row in the database; what must exist before the
database is here. docs/operators/settings.md lists the same variables for readers.
"""

import socket
import sys
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from llmgateway.environment import (
    env,
    env_bool,
    env_int,
    env_list,
    env_secret,
    env_text,
    random_words,
)

# LiteLLM takes orders from the environment while it is imported, and by default fetches price lists and the like from
# the network then, and reads a ``.env`` file it finds on the way up. It is imported late, if at all, and must do
# neither; an operator who wants it to says so in the environment.
env.ENVIRON.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
env.ENVIRON.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
env.ENVIRON.setdefault("LITELLM_MODE", "PRODUCTION")

BASE_DIR = Path(__file__).resolve().parent.parent

# Everything the program writes lies here: SQLite, journal, generated secrets, collected static files.
DATA_DIR = Path(env_text("GATEWAY_DATA_DIR", str(BASE_DIR / "var"))).absolute()

DEBUG = env_bool("GATEWAY_DEBUG", default=False)
SECRET_KEY = env_secret(
    "GATEWAY_SECRET_KEY", kept_in=DATA_DIR / "secrets" / "django_key", make=random_words
)

# Keys that seal stored credentials, newest first: the first seals, all open (manage.py rotate_secrets).
SEALING_KEYS = [
    key.strip()
    for key in env_secret(
        "GATEWAY_SEALING_KEYS",
        kept_in=DATA_DIR / "secrets" / "sealing_keys",
        make=lambda: Fernet.generate_key().decode(),
    )
    .replace("\n", ",")
    .split(",")
    if key.strip()
]
try:
    [Fernet(key) for key in SEALING_KEYS]
except ValueError as error:
    raise ImproperlyConfigured(
        "GATEWAY_SEALING_KEYS must be Fernet keys (32 bytes, url-safe base64) separated by commas."
    ) from error

# Where people reach the gateway, such as https://gateway.example: printed in set-up lines, trusted for forms.
PUBLIC_URL = env_text("GATEWAY_PUBLIC_URL").rstrip("/")
IS_HTTPS = PUBLIC_URL.startswith("https://")
ALLOWED_HOSTS = env_list(
    "GATEWAY_ALLOWED_HOSTS",
    default=["localhost", "127.0.0.1", "[::1]", socket.gethostname().lower()],
)
if PUBLIC_URL:
    ALLOWED_HOSTS.append(PUBLIC_URL.split("://")[-1].split("/")[0].split(":")[0])
    CSRF_TRUSTED_ORIGINS = ["/".join(PUBLIC_URL.split("/")[:3])]

# The hot path.
BODY_BYTES_MAX = env_int("GATEWAY_BODY_BYTES_MAX", default=32 * 1024 * 1024, at_least=1024)
BODY_READ_TIMEOUT_S = env_int("GATEWAY_BODY_READ_TIMEOUT_S", default=60, at_least=1)
PING_AFTER_S = env_int("GATEWAY_PING_AFTER_S", default=15, at_least=1)
SHUTDOWN_GRACE_S = env_int("GATEWAY_SHUTDOWN_GRACE_S", default=30, at_least=0)
# Whether providers are looked at beside the requests, each as often as its row says.
PROVIDER_CHECKS = env_bool("GATEWAY_PROVIDER_CHECKS", default=True)
JOURNAL_DIR = DATA_DIR / "journal"

# Request logs, where the feature flags log_headers or log_bodies are on.
LOG_BODY_BYTES_MAX = env_int("GATEWAY_LOG_BODY_BYTES_MAX", default=256 * 1024, at_least=1024)
LOG_RETENTION_DAYS = env_int("GATEWAY_LOG_RETENTION_DAYS", default=14, at_least=1)

# Daphne serves ``runserver`` only. Elsewhere its Twisted would cost every start half a second and 15 MB.
INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "routing",
    "accounting",
    "llmgateway",
]

# For pages only: /v1/ and /health/ go through llmgateway.lean_handler, which has no middleware.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

UNFOLD = {
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
    "COLORS": {
        "primary": {
            "50": "240 253 250",
            "100": "204 251 241",
            "200": "153 246 228",
            "300": "94 234 212",
            "400": "45 212 191",
            "500": "20 184 166",
            "600": "13 148 136",
            "700": "15 118 110",
            "800": "17 94 89",
            "900": "19 78 74",
            "950": "4 47 46",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "items": [
                    {"title": "Dashboard", "icon": "dashboard", "link": "/admin/"},
                    {"title": "Usage report", "icon": "bar_chart", "link": "/usage/"},
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
                    {"title": "Prices", "icon": "sell", "link": "/admin/accounting/price/"},
                    {
                        "title": "Mask patterns",
                        "icon": "visibility_off",
                        "link": "/admin/accounting/maskpattern/",
                    },
                    {"title": "Users", "icon": "person", "link": "/admin/auth/user/"},
                ],
            },
        ],
    },
}

LOGIN_REDIRECT_URL = "/admin/"
ROOT_URLCONF = "llmgateway.urls"
ASGI_APPLICATION = "llmgateway.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True  # for pages; the hot path never redirects (a redirected POST loses its body)

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'gateway.sqlite3'}"),
}
IS_SQLITE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
if IS_SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        # WAL lets pages read while the ledger writes; NORMAL survives a crash of the process, and the
        # journal replays what a power cut could take. IMMEDIATE waits for the lock instead of failing late.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-20000;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = env_text("REDIS_URL")
CHANNEL_LAYERS: dict[str, dict[str, object]] = {
    "default": (
        {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    ),
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = [
    "llmgateway.formats"
]  # the settings of that name lose against the language's own

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
}

LOG_LEVEL = env_text("GATEWAY_LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "llmgateway.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        name: {"level": LOG_LEVEL, "handlers": ["stderr"], "propagate": False}
        for name in ("llmgateway", "routing", "accounting", "uvicorn.error")
    },
}

# The first provider: read once, when the database has none; after that the rows rule.
OPENROUTER_API_KEY = env_text("OPENROUTER_API_KEY")
OPENROUTER_API_BASE = env_text("OPENROUTER_API_BASE", "https://openrouter.ai/api/v1")
OPENROUTER_DIRECT_TIMEOUT_S = env_int("OPENROUTER_DIRECT_TIMEOUT", default=600, at_least=1)
OPENROUTER_DIRECT_RETRIES = env_int("OPENROUTER_DIRECT_RETRIES", default=3)
# A LiteLLM proxy beside it, or alone.
LITELLM_BASE_URL = env_text("LITELLM_BASE_URL")
LITELLM_MASTER_KEY = env_text("LITELLM_MASTER_KEY")
# First values of feature flags; a row in the database wins (routing/flags.py declares them).
FLAGS_AT_FIRST = {
    "bypass_litellm": env_bool("BYPASS_LITELLM_ENABLED", default=True),
    "litellm_fallback": env_bool("LITELLM_FALLBACK_ENABLED", default=True),
    "strict_conversion": env_bool("STRICT_CONVERSION_ENABLED", default=False),
    "log_headers": env_bool("LOG_HEADERS_ENABLED", default=False),
    "log_bodies": env_bool("LOG_BODIES_ENABLED", default=False),
}
# Providers, first choice first, for names that no alias matches: provider/model, and known families of models.
RECOGNISE_MODELS = env_list("GATEWAY_RECOGNISE_MODELS", default=[])


OPENROUTER_DIRECT_MODEL_FORMAT = env_text("OPENROUTER_DIRECT_MODEL_FORMAT", "{model}")
