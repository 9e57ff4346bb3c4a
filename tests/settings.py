"""Settings for tests: the program's own, with a database and a data folder that are thrown away."""

import os
import tempfile

_folder = tempfile.mkdtemp(prefix="llmgateway-tests-")
os.environ.setdefault("GATEWAY_DATA_DIR", _folder)
os.environ.setdefault("GATEWAY_ALLOWED_HOSTS", "testserver,localhost,127.0.0.1")

from llmgateway.settings import *  # noqa: E402, F403
from llmgateway.settings import DATA_DIR, DATABASES, IS_SQLITE  # noqa: E402

(DATA_DIR / "static").mkdir(parents=True, exist_ok=True)
if IS_SQLITE:
    # A file, not memory: several threads of a test use it at once, each over a connection of its own.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# A look at a provider would take an answer that a test has scripted for something else.
PROVIDER_CHECKS = False
# Budgets are looked at when a test asks for it.
BUDGET_ALERTS_EVERY_S = 0
