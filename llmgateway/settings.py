"""Every setting of the program, and every environment variable it reads, with unit and default.

What an operator changes while the program runs is a row in the database; what must exist before the
database is here. docs/operators/settings.md lists the same variables for readers.
"""

import socket
import sys
from datetime import timedelta
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from llmgateway.admin_look import UNFOLD as UNFOLD  # Django reads it here
from llmgateway.environment import (
    env,
    env_address_rules,
    env_bool,
    env_database,
    env_given_secret,
    env_int,
    env_list,
    env_mail_server,
    env_networks,
    env_secret,
    env_text,
    random_words,
)
from llmgateway.sign_in import configuration as identity_providers

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

# Whose word about the client's address (X-Forwarded-For) is believed: addresses or networks of proxies.
TRUSTED_PROXIES = env_networks("GATEWAY_TRUSTED_PROXIES")

# Which addresses providers and webhooks may have (conversion/addresses.py): networks, loopback, private, everything.
# Allowed goes before denied; metadata and link-local addresses are refused unless they are allowed.
OUTBOUND = env_address_rules(allowed="GATEWAY_OUTBOUND_ALLOW", denied="GATEWAY_OUTBOUND_DENY")

# The hot path.
BODY_BYTES_MAX = env_int("GATEWAY_BODY_BYTES_MAX", default=32 * 1024 * 1024, at_least=1024)
# Bytes that the bodies of all requests that a process has under way may have together. Read and translated, they take
# three to four times that in memory; the files in deploy/ set what their limits of memory have room for.
BODIES_BYTES_MAX = env_int(
    "GATEWAY_BODIES_BYTES_MAX",
    default=max(512 * 1024 * 1024, BODY_BYTES_MAX),
    at_least=BODY_BYTES_MAX,
)
# A body of a page's request in bytes; and of somebody who is signed in, such as a provider's bill (200 MB) in its form.
PAGE_BYTES_MAX = env_int("GATEWAY_PAGE_BYTES_MAX", default=8 * 1024 * 1024, at_least=1024 * 1024)
UPLOAD_BYTES_MAX = env_int(
    "GATEWAY_UPLOAD_BYTES_MAX",
    default=max(200 * 1024 * 1024, PAGE_BYTES_MAX),
    at_least=PAGE_BYTES_MAX,
)
# A request's headers and its address: bytes of all together, and how many. Claude Code sends 2 kB in 25.
HEADER_BYTES_MAX = env_int("GATEWAY_HEADER_BYTES_MAX", default=64 * 1024, at_least=4096)
HEADERS_MAX = env_int("GATEWAY_HEADERS_MAX", default=200, at_least=20)
# Seconds in which the headers, and then the body, must arrive.
BODY_READ_TIMEOUT_S = env_int("GATEWAY_BODY_READ_TIMEOUT_S", default=60, at_least=1)
PING_AFTER_S = env_int("GATEWAY_PING_AFTER_S", default=15, at_least=1)
SHUTDOWN_GRACE_S = env_int("GATEWAY_SHUTDOWN_GRACE_S", default=30, at_least=0)
# How long a request waits for room in a hard budget whose rest is only held for requests under way. Seconds.
BUDGET_WAIT_S = env_int("GATEWAY_BUDGET_WAIT_S", default=10, at_least=0)
# How often budgets are looked at for alerts, in seconds; 0 sends none.
BUDGET_ALERTS_EVERY_S = env_int("GATEWAY_BUDGET_ALERTS_EVERY_S", default=10)
# Whether providers are looked at beside the requests, each as often as its row says.
PROVIDER_CHECKS = env_bool("GATEWAY_PROVIDER_CHECKS", default=True)
JOURNAL_DIR = DATA_DIR / "journal"

# Request logs, where the feature flags log_headers or log_bodies are on.
LOG_BODY_BYTES_MAX = env_int("GATEWAY_LOG_BODY_BYTES_MAX", default=256 * 1024, at_least=1024)
LOG_RETENTION_DAYS = env_int("GATEWAY_LOG_RETENTION_DAYS", default=14, at_least=1)

# What only some commands need. Daphne serves ``runserver``; elsewhere its Twisted would cost every start half a second
# and 15 MB. The admin's pages are loaded by whatever asks for addresses (urls.py); ``serve`` leaves that to the first
# page, as it would cost every start nearly a second.
INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig"
    if sys.argv[1:2] == ["serve"]
    else "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "axes",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.socialaccount.providers.saml",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "routing",
    "accounting",
    "llmgateway",
    "llmgateway.api",
]

# For pages only: /v1/ and /health/ go through llmgateway.lean_handler, which has no middleware.
MIDDLEWARE = [
    "llmgateway.page_headers.add_page_headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "llmgateway.page_actors.name_who_acts",
    "allauth.account.middleware.AccountMiddleware",
    "llmgateway.sign_in.second_factor.lead_to_second_factor",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

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
    "default": env_database("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'gateway.sqlite3'}"),
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
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "llmgateway.postgres"
    # A server that is gone without a word, as in a failover, breaks connections within half a minute, however long an
    # answer may take of one that is there. What DATABASE_URL says in its query goes before. Seconds; the last in ms.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }

REDIS_URL = env_given_secret("REDIS_URL")
# What begins the names of all keys of this gateway in Redis, so that two gateways can share one.
REDIS_PREFIX = env_text("GATEWAY_REDIS_PREFIX", "llmgw")
# What becomes of requests under limits and budgets while Redis cannot be reached: local (each process goes on by its
# own memory and what the ledger says) or refuse.
REDIS_OUTAGE = env_text("GATEWAY_REDIS_OUTAGE", "local")
if REDIS_OUTAGE not in {"local", "refuse"}:
    raise ImproperlyConfigured("GATEWAY_REDIS_OUTAGE must be local or refuse.")
CHANNEL_LAYERS: dict[str, dict[str, object]] = {
    "default": (
        {
            # At most once, which is all that frames of the live view need: the next one says all anew.
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL], "prefix": REDIS_PREFIX},
        }
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
LOGIN_URL = "account_login"

# Whoever enters wrong passwords for a name is refused for a while, by name and address together, so that nobody can
# lock somebody else out from elsewhere. Counted in the database, for all workers. Seconds.
SIGN_IN_TRIES_MAX = env_int("GATEWAY_SIGN_IN_TRIES_MAX", default=5, at_least=1)
SIGN_IN_LOCK_S = env_int("GATEWAY_SIGN_IN_LOCK_S", default=900, at_least=1)
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = SIGN_IN_TRIES_MAX
AXES_COOLOFF_TIME = timedelta(seconds=SIGN_IN_LOCK_S)
AXES_LOCKOUT_PARAMETERS = "llmgateway.sign_in.throttle.counted_by"
AXES_SENSITIVE_PARAMETERS = ["code"]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "llmgateway.page_actors.address_of"
AXES_LOCKOUT_CALLABLE = "llmgateway.locked_out.locked_out"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True  # the audit trail notes who signs in and who is refused
AXES_VERBOSE = False

# A code of an authenticator app after the password: off, offered to everybody, required of staff who sign in by
# password, or always required of staff, also of those whom an identity provider lets in.
TWO_FACTOR = env_text("GATEWAY_TWO_FACTOR").strip().lower() or "offered"
if TWO_FACTOR not in {"off", "offered", "required", "always"}:
    raise ImproperlyConfigured("GATEWAY_TWO_FACTOR must be off, offered, required or always.")
MFA_ADAPTER = "llmgateway.sign_in.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "LLM gateway"
MFA_ALLOW_UNVERIFIED_EMAIL = True
ACCOUNT_ADAPTER = "llmgateway.sign_in.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Sign-in by an identity provider. An account is linked to its subject there; groups make memberships (Admin → Groups).
GROUPS_CLAIM = env_text("GATEWAY_OIDC_GROUPS_CLAIM").strip() or "groups"
SAML_GROUPS_ATTRIBUTE = env_text("GATEWAY_SAML_GROUPS_ATTRIBUTE").strip() or "groups"
# Whose people are staff (they see all usage), and whose may do everything in the admin besides.
STAFF_GROUPS = env_list("GATEWAY_STAFF_GROUPS", default=[])
SUPERUSER_GROUPS = env_list("GATEWAY_SUPERUSER_GROUPS", default=[])
# The domains of e-mail addresses whose people are let in; none: all of the identity provider's.
SIGN_IN_DOMAINS = [word.lower() for word in env_list("GATEWAY_SIGN_IN_DOMAINS", default=[])]
# Whether the e-mail address that a provider tells leads to an account that is here already: never, where the provider
# says that it has verified it, or trusted in any case.
LINK_BY_EMAIL = env_text("GATEWAY_LINK_BY_EMAIL").strip().lower() or "never"
if LINK_BY_EMAIL not in {"never", "verified", "trusted"}:
    raise ImproperlyConfigured("GATEWAY_LINK_BY_EMAIL must be never, verified or trusted.")
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "APPS": identity_providers.oidc_apps(
            identity_providers.Oidc(
                issuer=env_text("GATEWAY_OIDC_ISSUER").strip(),
                client_id=env_text("GATEWAY_OIDC_CLIENT_ID").strip(),
                secret=env_given_secret("GATEWAY_OIDC_CLIENT_SECRET"),
                name=env_text("GATEWAY_OIDC_NAME").strip() or "OpenID Connect",
                scopes=tuple(env_text("GATEWAY_OIDC_SCOPES").replace(",", " ").split()),
            )
        ),
    },
    "saml": {
        "APPS": identity_providers.saml_apps(
            identity_providers.Saml(
                metadata_url=env_text("GATEWAY_SAML_METADATA_URL").strip(),
                metadata_file=env_text("GATEWAY_SAML_METADATA_FILE").strip(),
                idp_entity_id=env_text("GATEWAY_SAML_IDP_ENTITY_ID").strip(),
                entity_id=env_text("GATEWAY_SAML_ENTITY_ID").strip(),
                name=env_text("GATEWAY_SAML_NAME").strip() or "SAML",
                email_attribute=env_text("GATEWAY_SAML_EMAIL_ATTRIBUTE").strip(),
                name_attribute=env_text("GATEWAY_SAML_NAME_ATTRIBUTE").strip(),
            )
        ),
    },
}
SOCIALACCOUNT_ADAPTER = "llmgateway.sign_in.providers.ProviderAdapter"
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form's way to another host is what the pages' policy forbids
SOCIALACCOUNT_REQUESTS_TIMEOUT = 10
ACCOUNT_RATE_LIMITS = False  # counted by django-axes, in the database, for all workers

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = [
    "llmgateway.formats"
]  # the settings of that name lose against the language's own

STATIC_URL = "/static/"
# Where collected static files lie; an image has them beside the code.
STATIC_ROOT = Path(env_text("GATEWAY_STATIC_ROOT", str(DATA_DIR / "static"))).absolute()
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
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "llmgateway.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "llmgateway.api.schema.Document",
    "EXCEPTION_HANDLER": "llmgateway.api.errors.answer_for",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "llmgateway management API",
    "DESCRIPTION": "What the admin can do, for programs. Clients send their requests for models to /v1/ instead.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/",
    "PREPROCESSING_HOOKS": ["llmgateway.api.schema.only_ours"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "llmgateway.api.schema.tell_of_refusals",
    ],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "TokenScope": "llmgateway.api.models.ApiToken.Scope",
        "RuleScope": "routing.models.scope.Scoped.Scope",
    },
}

# The mail server that budget alerts go through; without one they say so. Seconds.
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
mail_server = env_mail_server("EMAIL_URL")
EMAIL_IS_SET_UP = bool(mail_server)
vars().update(mail_server)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_text("GATEWAY_EMAIL_FROM", "llmgateway@localhost")

# Where several workers of one machine keep their figures for /metrics; `manage.py serve` sets it for them.
METRICS_DIR = env_text("PROMETHEUS_MULTIPROC_DIR")

# The collector that gets traces (OTLP over HTTP, such as http://localhost:4318/v1/traces), which share of the requests
# without a trace of their client's are traced (percent), and under which name.
OTLP_ENDPOINT = env_text("GATEWAY_OTLP_ENDPOINT")
TRACE_PERCENT = env_int("GATEWAY_TRACE_PERCENT", default=100)
SERVICE_NAME = env_text("OTEL_SERVICE_NAME", "llmgateway")

# How a line of the log looks: line (for people) or json (one object, for programs).
LOG_FORMAT = env_text("GATEWAY_LOG_FORMAT", "line")
if LOG_FORMAT not in {"line", "json"}:
    raise ImproperlyConfigured("GATEWAY_LOG_FORMAT must be line or json.")
LOG_LEVEL = env_text("GATEWAY_LOG_LEVEL", "INFO").upper()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "llmgateway.logs.LineFormatter"},
        "json": {"()": "llmgateway.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        name: {"level": LOG_LEVEL, "handlers": ["stderr"], "propagate": False}
        for name in ("llmgateway", "routing", "accounting", "uvicorn.error")
    },
}

# The first provider: read once, when the database has none; after that the rows rule.
OPENROUTER_API_KEY = env_given_secret("OPENROUTER_API_KEY")
OPENROUTER_API_BASE = env_text("OPENROUTER_API_BASE", "https://openrouter.ai/api/v1")
OPENROUTER_DIRECT_TIMEOUT_S = env_int("OPENROUTER_DIRECT_TIMEOUT", default=600, at_least=1)
OPENROUTER_DIRECT_RETRIES = env_int("OPENROUTER_DIRECT_RETRIES", default=3)
# A LiteLLM proxy beside it, or alone.
LITELLM_BASE_URL = env_text("LITELLM_BASE_URL")
LITELLM_MASTER_KEY = env_given_secret("LITELLM_MASTER_KEY")
# First values of feature flags; a row in the database wins (routing/flags.py declares them).
FLAGS_AT_FIRST = {
    "bypass_litellm": env_bool("BYPASS_LITELLM_ENABLED", default=True),
    "litellm_fallback": env_bool("LITELLM_FALLBACK_ENABLED", default=True),
    "strict_conversion": env_bool("STRICT_CONVERSION_ENABLED", default=False),
    "live_view": env_bool("LIVE_VIEW_ENABLED", default=True),
    "log_headers": env_bool("LOG_HEADERS_ENABLED", default=False),
    "log_bodies": env_bool("LOG_BODIES_ENABLED", default=False),
}
# Providers, first choice first, for names that no alias matches: provider/model, and known families of models.
RECOGNISE_MODELS = env_list("GATEWAY_RECOGNISE_MODELS", default=[])


OPENROUTER_DIRECT_MODEL_FORMAT = env_text("OPENROUTER_DIRECT_MODEL_FORMAT", "{model}")
