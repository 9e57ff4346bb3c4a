"""Every setting that an operator writes into .env reaches the gateway, and no other service's password does."""

import re
from pathlib import Path

import pytest

from deploy import make_secrets
from tests.deploy.compose_reading import compose, environment_of, filled_in

ROOT = Path(__file__).resolve().parent.parent.parent
OWN_IMAGE = ("setup", "gateway")
PLACES = {"GATEWAY_DATA_DIR": "/data", "GATEWAY_STATIC_ROOT": "/opt/llmgateway/collected"}
OTHERS_SECRETS = {
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "LITELLM_POSTGRES_PASSWORD",
    "LITELLM_SALT_KEY",
}
SECRETS = dict.fromkeys(make_secrets.MADE, "made")


def documented_settings() -> list[str]:
    table = (ROOT / "docs/operators/settings.md").read_text()
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)]


def test_the_settings_are_found():
    assert len(documented_settings()) > 60
    assert {"DATABASE_URL", "GATEWAY_OTLP_ENDPOINT", "LITELLM_MASTER_KEY"} <= set(
        documented_settings()
    )


@pytest.mark.parametrize("service", OWN_IMAGE)
@pytest.mark.parametrize("name", documented_settings())
def test_a_setting_in_dotenv_reaches_the_container(name, service):
    seen = environment_of(service, {**SECRETS, name: "as the operator says"})
    assert seen[name] == PLACES.get(name, "as the operator says")


@pytest.mark.parametrize("service", OWN_IMAGE)
def test_what_dotenv_does_not_say_is_left_to_the_program(service):
    seen = environment_of(service, SECRETS)
    assert seen["DATABASE_URL"] == "postgres://gateway:made@postgres:5432/gateway"
    assert seen["REDIS_URL"] == "redis://:made@redis:6379/0"
    empty = {name for name, value in seen.items() if not value}
    assert empty == OTHERS_SECRETS


@pytest.mark.parametrize("service", OWN_IMAGE)
def test_passwords_of_other_services_stay_with_them(service):
    seen = environment_of(service, {name: f"secret-{name}" for name in make_secrets.MADE})
    assert not {name for name in OTHERS_SECRETS if f"secret-{name}" in seen[name]}
    told = make_secrets.MADE.keys() - OTHERS_SECRETS
    assert told == {"GATEWAY_SECRET_KEY", "GATEWAY_SEALING_KEYS", "LITELLM_MASTER_KEY"}


@pytest.mark.parametrize("service", OWN_IMAGE)
def test_it_starts_without_a_file_where_the_shell_has_the_secrets(service):
    assert compose()["services"][service]["env_file"] == [{"path": ".env", "required": False}]


def test_a_missing_secret_stops_it():
    with pytest.raises(ValueError, match="make secrets"):
        environment_of("gateway", {**SECRETS, "POSTGRES_PASSWORD": ""})


def test_what_is_filled_in_follows_composes_rules():
    values = {"A": "a", "EMPTY": ""}
    for text, filled in (
        ("x${A:-b}y", "xay"),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY-b}", ""),
        ("${NONE-b}", "b"),
        ("${NONE:-p${A:?why}q}r", "paqr"),
        ("$$A", "$A"),
    ):
        assert filled_in(text, values) == filled
