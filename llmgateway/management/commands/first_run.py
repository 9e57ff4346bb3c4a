"""Prepares an empty installation so that a first request can be made, and prints how; safe to repeat."""

import argparse
import secrets
from pathlib import Path
from textwrap import indent
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand

from accounting import keys
from accounting.models import Team, VirtualKey
from accounting.set_up_lines import NO_KEY, SetUpLine, set_up_lines
from llmgateway.beginnings import DEMO_NAME, add_demo, add_first_providers
from routing import versions

ADMIN_NAME = "admin"
TEAM_SLUG = "demo"
KEY_NAME = "first"


class Command(BaseCommand):
    """Each step looks first whether its result is there already."""

    help = "Migrate, add a demo provider, a team, a key and an administrator, collect static files; print what to do."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *_args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        collect_static_files()
        with versions.changes_by("first_run", "First providers."):
            add_first_providers()
            add_demo()
        url = settings.PUBLIC_URL or f"http://{options['host']}:{options['port']}"
        self.stdout.write(lines_to_copy(url, key=first_key(), login=admin_login()))


def collect_static_files() -> None:
    """Collect and compress static files, unless that was done since the last change of any."""
    made = Path(settings.STATIC_ROOT) / "staticfiles.json"
    sources = [
        *Path(settings.STATICFILES_DIRS[0]).rglob("*"),
        settings.BASE_DIR / "requirements.lock",
    ]
    newest_s = max((path.stat().st_mtime for path in sources if path.exists()), default=0.0)
    if not made.exists() or made.stat().st_mtime < newest_s:
        call_command("collectstatic", verbosity=0, interactive=False)


def secrets_dir() -> Path:
    """Where the first key and password are kept, readable by the gateway's own user only."""
    return Path(settings.DATA_DIR) / "secrets"


def keep_secret(name: str, secret: str) -> None:
    """Write a secret to a file of its own."""
    path = secrets_dir() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(secret + "\n", encoding="utf-8")


def kept_secret(name: str) -> str:
    """The secret as it was written; empty when there is none."""
    path = secrets_dir() / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def first_key() -> str:
    """The demo team's key: made once, kept in a file so that it can be printed again."""
    team, _made = Team.objects.get_or_create(slug=TEAM_SLUG, defaults={"name": "Demo team"})
    kept = kept_secret("first_key")
    row = VirtualKey.objects.filter(team=team, name=KEY_NAME).first()
    if row is not None and kept and row.digest == keys.digest_of(kept):
        return kept
    if row is not None:  # it was replaced by hand: what it is now only its owner knows
        return ""
    minted = keys.mint(team, KEY_NAME)
    keep_secret("first_key", minted.secret)
    return minted.secret


def admin_login() -> str:
    """The administrator's name and password as a line to print."""
    users = get_user_model()
    kept = kept_secret("admin_password")
    if not users.objects.filter(is_superuser=True).exists():
        kept = secrets.token_urlsafe(12)
        keep_secret("admin_password", kept)
        users.objects.create_superuser(ADMIN_NAME, password=kept)
    user = users.objects.filter(username=ADMIN_NAME).first()
    if user is not None and kept and user.check_password(kept):
        return f"{ADMIN_NAME} / {kept}"
    return "with the name and password you chose"


def lines_to_copy(url: str, *, key: str, login: str) -> str:
    """What a new user needs, ready to be copied."""
    curl, *others = set_up_lines(url, key=key or NO_KEY, model=DEMO_NAME)
    return f"""
llmgateway  {url}
admin       {url}/admin/   log in: {login}
usage       {url}/usage/

First request (the demo model inside the gateway answers; no account is needed):

{indent(curl.text, "  ")}

{"".join(map(_paragraph, others))}Add a real provider: {url}/admin/first-steps/ leads through it. Ctrl-C stops the gateway.
"""


def _paragraph(line: SetUpLine) -> str:
    before = f" ({line.before})" if line.before else ""
    return f"{line.client}{before}:\n\n{indent(line.text, '  ')}\n\n"
