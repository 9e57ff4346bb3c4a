"""Every setting that holds a secret may come from a file, and no failure shows a part of one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from llmgateway.configuration.faults import Import
from llmgateway.configuration.references import read_secret
from llmgateway.environment import env_database, env_given_secret, env_mail_server

ROOT = Path(__file__).resolve().parents[2]
NAME = "GATEWAY_TEST_VALUE"
SECRETS = {
    "DATABASE_URL": "postgres://gateway:pw-database@db.example:5433/books",
    "REDIS_URL": "redis://:pw-redis@redis.example:6379/0",
    "EMAIL_URL": "smtp+tls://mailer:pw-mail@mail.example:587",
    "GATEWAY_SECRET_KEY": "pw-django-" + "x" * 50,
    "GATEWAY_SEALING_KEYS": Fernet.generate_key().decode(),
    "GATEWAY_OIDC_CLIENT_SECRET": "pw-oidc",
    "OPENROUTER_API_KEY": "sk-or-pw-openrouter",
    "LITELLM_MASTER_KEY": "sk-pw-litellm",
}
READ = """
import json, django
from django.conf import settings as s
print(json.dumps({
    "DATABASE_URL": [s.DATABASES["default"][part] for part in ("USER", "PASSWORD", "HOST", "PORT", "NAME")],
    "REDIS_URL": s.REDIS_URL,
    "EMAIL_URL": [s.EMAIL_HOST_USER, s.EMAIL_HOST_PASSWORD, s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_USE_TLS, s.EMAIL_IS_SET_UP],
    "GATEWAY_SECRET_KEY": s.SECRET_KEY,
    "GATEWAY_SEALING_KEYS": s.SEALING_KEYS,
    "GATEWAY_OIDC_CLIENT_SECRET": s.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["secret"],
    "OPENROUTER_API_KEY": s.OPENROUTER_API_KEY,
    "LITELLM_MASTER_KEY": s.LITELLM_MASTER_KEY,
}))
"""


def read_settings(folder: Path, given: dict[str, str]) -> dict[str, object]:
    given = {
        **given, "PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
        "GATEWAY_DATA_DIR": str(folder / "data"), "GATEWAY_OIDC_ISSUER": "https://sso.example",
        "GATEWAY_OIDC_CLIENT_ID": "gateway",
    }  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-c", READ],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(told.stdout)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv(f"{NAME}_FILE", raising=False)


@pytest.mark.processes
def test_settings_are_the_same_from_files_as_from_variables(tmp_path):
    files = {}
    for name, secret in SECRETS.items():
        (tmp_path / name).write_text(secret + "\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    told = read_settings(tmp_path, files)
    assert told == read_settings(tmp_path, SECRETS)
    assert told["DATABASE_URL"] == ["gateway", "pw-database", "db.example", 5433, "books"]
    assert told["EMAIL_URL"] == ["mailer", "pw-mail", "mail.example", 587, True, True]
    assert not (tmp_path / "data" / "secrets").exists(), "no secret was made where one was given"


def test_the_docs_name_them_all():
    text = (ROOT / "docs/operators/settings.md").read_text()
    sentence = text.split("**From files.**")[1].split("can each be")[0]
    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == set(SECRETS)


def test_a_variable_that_a_configuration_file_names_may_be_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("sk-from-a-file\n")
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "key"))
    run = Import()
    assert read_secret(run, f"${{{NAME}}}", 3) == "sk-from-a-file"
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "absent"))
    assert read_secret(run, f"${{{NAME}}}", 4) is None
    (fault,) = run.faults
    assert f"{NAME}_FILE" in str(fault)


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe\xffpw", "no text")]
)
def test_a_file_that_says_nothing_stops_the_start(monkeypatch, tmp_path, content, told):
    (tmp_path / "named").write_bytes(content)
    monkeypatch.setenv(f"{NAME}_FILE", str(tmp_path / "named"))
    with pytest.raises(ImproperlyConfigured, match=f"{NAME}_FILE: .*{told}") as caught:
        env_given_secret(NAME)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    ["postgres://g:x@db:pw-secret/x", "postgres://g:pw/secret@db/x"],
)
def test_a_database_that_cannot_be_read_is_told_without_its_password(monkeypatch, address):
    monkeypatch.setenv(NAME, address)
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be an address") as caught:
        env_database(NAME, default="sqlite:///x")
    assert "pw" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_without_a_variable_the_database_is_the_default():
    assert env_database(NAME, default="sqlite:////tmp/x")["NAME"] == "/tmp/x"
    assert env_mail_server(NAME) == {}


def test_a_mail_server_that_cannot_be_read_is_told_without_its_password(monkeypatch):
    monkeypatch.setenv(NAME, "post://u:pw-secret@mail.example:five")
    with pytest.raises(ImproperlyConfigured, match=f"{NAME} must be an address") as caught:
        env_mail_server(NAME)
    assert "pw-secret" not in str(caught.value)
