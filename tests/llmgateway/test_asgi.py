"""What ``serve`` loads before it is ready, and what it leaves to the first page."""

import json
import os
import subprocess
import sys

from tests.processes import ROOT

PROGRAM = """
import json, sys
sys.argv = ["manage.py", *sys.argv[1:]]
import django
django.setup()
from django.contrib import admin
from llmgateway import asgi
from routing.models import Provider
LATER = ("httpx", "jsonpath", "psycopg", "rest_framework.serializers", "unfold.admin")
before = [name for name in LATER if name in sys.modules], admin.site.is_registered(Provider)
asgi.load_pages()
print(json.dumps([*before, asgi.are_pages_loaded.is_set(), admin.site.is_registered(Provider)]))
"""


def load(tmp_path, *words: str) -> list:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
            "GATEWAY_DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_serve_leaves_to_the_first_page_what_only_pages_need(tmp_path):
    assert load(tmp_path, "serve", "--port", "1") == [[], False, True, True]


def test_other_commands_have_the_admin_at_once(tmp_path):
    loaded, is_registered, *_after = load(tmp_path, "check")

    assert "unfold.admin" in loaded
    assert is_registered
