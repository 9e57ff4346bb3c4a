"""compose.yaml is what Compose reads: by the specification's own schema; and Redis starts as its image wants it."""

import json
import os
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest
import redis

from deploy import make_secrets
from tests.deploy.compose_reading import compose, filled_in
from tests.processes import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = json.loads((ROOT / "tests/fixtures/compose-spec/compose-spec.json").read_text())
SECRETS = {name: f"made-{name}" for name in make_secrets.MADE}


def whole(part: object, values: dict[str, str]) -> object:
    if isinstance(part, dict):
        return {key: whole(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [whole(value, values) for value in part]
    return filled_in(part, values) if isinstance(part, str) else part


def test_the_file_fits_the_specification_as_it_stands_and_filled_in():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(compose(), SCHEMA)
    jsonschema.validate(whole(compose(), SECRETS), SCHEMA)


@pytest.mark.parametrize(
    ("service", "key", "value"),
    [
        ("gateway", "enviroment", {}),
        ("gateway", "env_file", [{"path": ".env", "optional": True}]),
        ("redis", "healthcheck", {"tests": ["CMD", "true"]}),
        ("postgres", "depends_on", {"redis": {"condition": "healthy"}}),
    ],
)
def test_a_mistake_is_seen(service, key, value):
    wrong = deepcopy(compose())
    wrong["services"][service][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def redis_command() -> list[str]:
    command = compose()["services"]["redis"]["command"]
    return [filled_in(word, {}) for word in command]


def entrypoint(folder: Path, then: str) -> dict[str, str]:
    """An environment in which the image's entrypoint writes down how it was called, and goes on as told."""
    script = folder / "docker-entrypoint.sh"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\n{then}\n')
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "REDIS_PASSWORD": "pass-word-1"}


def test_redis_is_started_by_its_entrypoint_which_leaves_root_behind(tmp_path):
    environment = entrypoint(tmp_path, f"cat > {tmp_path}/read")
    subprocess.run(redis_command(), env=environment, cwd=tmp_path, check=True)
    assert (tmp_path / "called").read_text() == "redis-server -\n"
    assert "requirepass pass-word-1" in (tmp_path / "read").read_text().splitlines()
    assert "user" not in compose()["services"]["redis"], "the entrypoint gives the files to redis"


@pytest.mark.processes
@pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server")
def test_redis_reads_what_it_is_told(tmp_path):
    port = free_port()
    environment = entrypoint(tmp_path, f'exec "$@" --port {port} --bind 127.0.0.1')
    process = subprocess.Popen(
        redis_command(), env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    client = redis.Redis(port=port, password="pass-word-1")
    try:
        wait_until(lambda: answers(client))
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory") == {"maxmemory": str(400 * 1024 * 1024)}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with redis.Redis(port=port) as outsider, pytest.raises(redis.AuthenticationError):
            outsider.ping()
        seen = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"pass-word-1" not in seen
    finally:
        client.close()
        process.terminate()  # it is the shell's successor: a stop reaches it at once
        assert process.wait(10) == 0


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
