"""The files that deploy the gateway: they can be read, fit together, and name only what there is."""

import re
import shutil
import stat
import subprocess
import sys
from functools import cache
from ipaddress import ip_network
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cryptography.fernet import Fernet

from conversion.addresses import LINK_LOCAL, METADATA, REFUSED_AT_FIRST
from deploy import make_secrets
from tests.deploy.compose_reading import compose

ROOT = Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNIT = ROOT / "deploy" / "systemd" / "llmgateway.service"
KUBERNETES_VERSION = "1.31"
MANIFESTS = sorted(
    path.name for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml"
)
OWN_IMAGE = ("setup", "gateway")


@cache
def known_variables() -> frozenset[str]:
    """What settings.py reads."""
    text = (ROOT / "llmgateway" / "settings.py").read_text()
    names = set(re.findall(r'"([A-Z][A-Z0-9_]{3,})"', text))
    called = set(re.findall(r'env(?:\.|_)\w+\(\s*(?:\w+=)?"([A-Z0-9_]+)"', text))
    called |= set(re.findall(r'(?:allowed|denied)="([A-Z0-9_]+)"', text))
    assert called <= names
    secrets = set(
        re.findall(r'env_(?:secret|given_secret|database|mail_server)\(\s*"([A-Z0-9_]+)"', text)
    )
    return frozenset(called | {f"{name}_FILE" for name in secrets})


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


def named(kind: str) -> dict:
    found = [doc for name in MANIFESTS for doc in documents(name) if doc["kind"] == kind]
    assert len(found) == 1
    return found[0]


# compose


def test_settings_names_are_found():
    assert {
        "DATABASE_URL",
        "GATEWAY_OUTBOUND_ALLOW",
        "GATEWAY_SECRET_KEY_FILE",
    } <= known_variables()


@pytest.mark.parametrize("name", OWN_IMAGE)
def test_the_gateway_is_given_only_variables_that_it_reads(name):
    emptied = {
        key for key, value in compose()["services"][name]["environment"].items() if value == ""
    }
    assert emptied <= set(make_secrets.MADE)
    assert set(compose()["services"][name]["environment"]) - emptied <= known_variables()


@pytest.mark.parametrize(
    "name", sorted(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])
)
def test_a_service_is_watched_limited_and_without_privileges(name):
    service = compose()["services"][name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert set(service["networks"]) <= set(compose()["networks"])
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in compose()["volumes"]
    if name == "setup":  # runs once
        assert service["restart"] == "no"
        return
    assert service["restart"] == "unless-stopped"
    assert "memory" in service["deploy"]["resources"]["limits"]
    if name != "gateway":  # the image has its own
        assert service["healthcheck"]["test"]


def test_services_wait_for_what_they_need():
    services = compose()["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert other in services
            expected = "service_completed_successfully" if other == "setup" else "service_healthy"
            assert how["condition"] == expected
    assert "setup" in services["gateway"]["depends_on"]


def test_only_the_gateway_can_be_reached_and_only_from_this_machine():
    ports = {
        name: service["ports"]
        for name, service in compose()["services"].items()
        if "ports" in service
    }
    assert list(ports) == ["gateway"]
    assert "127.0.0.1:8000" in ports["gateway"][0]
    assert compose()["networks"]["inside"]["internal"] is True
    assert compose()["services"]["postgres"]["networks"] == ["inside"]


def test_every_secret_of_compose_is_made_by_the_command_and_no_other_is_wanted():
    text = (ROOT / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{(\w+):\?", text))
    assert wanted == set(make_secrets.MADE)
    assert not re.search(r"(?<!\$)\$\{\w+\}", text), "a variable without a default or a complaint"


def test_the_gateway_has_time_to_end():
    grace_s = int(
        re.search(r'GRACE_S", default=(\d+)', (ROOT / "llmgateway/settings.py").read_text())[1]
    )
    assert int(compose()["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > grace_s
    assert int(re.search(r"TimeoutStopSec=(\d+)", UNIT.read_text())[1]) > grace_s


# secrets


def test_secrets_are_random_valid_readable_by_their_owner_only_and_made_once(tmp_path):
    path = tmp_path / ".env"
    assert make_secrets.add_missing(path) == list(make_secrets.MADE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_text()
    values = dict(line.split("=", 1) for line in first.splitlines() if not line.startswith("#"))
    Fernet(values["GATEWAY_SEALING_KEYS"])
    assert all(len(value) >= 44 for value in values.values())
    assert len(set(values.values())) == len(values)
    assert make_secrets.add_missing(path) == []
    assert path.read_text() == first


def test_what_the_operator_wrote_stays(tmp_path):
    path = tmp_path / ".env"
    path.write_text("export REDIS_PASSWORD=mine\nWORKERS=4\nPOSTGRES_PASSWORD=")
    made = make_secrets.add_missing(path)
    assert "REDIS_PASSWORD" not in made
    assert "POSTGRES_PASSWORD" in made
    assert path.read_text().startswith("export REDIS_PASSWORD=mine\nWORKERS=4\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_command_writes_where_it_is_told(tmp_path):
    told = subprocess.run(
        [sys.executable, ROOT / "deploy/make_secrets.py", tmp_path / "x"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "REDIS_PASSWORD" in told.stdout
    assert (tmp_path / "x").read_text().split("REDIS_PASSWORD=")[1][:10] not in told.stdout


def test_secrets_are_never_committed():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored


# image


def test_the_image_holds_the_program_and_nothing_else():
    lines = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]  # fmt: skip
    assert lines[0] == "*", "everything is left out but what is named"
    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert taken == {
        "requirements.lock", "requirements-otel.lock", "requirements-saml.lock", "requirements-parquet.lock",
        "manage.py", "templates", "static", "conversion", "accounting", "routing", "llmgateway",
    }  # fmt: skip
    for name in taken:
        for path in [ROOT / name, *(ROOT / name).rglob("*")]:
            assert not path.name.startswith((".env", "test_", "conftest")), path
            assert path.suffix not in {".pem", ".key", ".sqlite3", ".log"}, path


def test_the_image_is_built_from_locked_wheels_and_runs_without_rights():
    text = (ROOT / "Dockerfile").read_text()
    build, final = text.split("FROM ")[1:]
    assert "--require-hashes --only-binary :all:" in build
    assert "pip install" not in final
    assert "apt-get" not in text
    assert not re.search(r"^ADD ", text, re.M)
    assert not re.search(r"^(?:ARG|ENV) .*(?:SECRET|PASSWORD|TOKEN|KEY)", text, re.M)
    assert re.search(r"^USER 10001:10001$", final, re.M)
    assert re.search(r"^VOLUME /data$", final, re.M)
    assert "/health/ready" in final
    assert final.index("USER ") < final.index("ENTRYPOINT")
    used = set(re.findall(r"(GATEWAY_\w+)=", text))
    assert used <= known_variables()


# Kubernetes


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_fits_the_schema(name):
    for doc in documents(name):
        kubernetes_validate.validate(doc, KUBERNETES_VERSION, strict=True)


def test_every_manifest_is_listed():
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "ingress.example.yaml"]) == MANIFESTS


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_the_manifests_come_together():
    made = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES], capture_output=True, text=True, check=True
    )
    docs = list(yaml.safe_load_all(made.stdout))
    for doc in docs:
        kubernetes_validate.validate(doc, KUBERNETES_VERSION, strict=True)
    pods = next(doc for doc in docs if doc["kind"] == "StatefulSet")["spec"]["template"]
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for doc in (doc for doc in docs if doc["kind"] == kind):
            spec = doc["spec"].get("selector") or doc["spec"].get("podSelector")
            wanted = spec.get("matchLabels", spec)
            assert wanted.items() <= pods["metadata"]["labels"].items()


def test_the_cluster_gives_only_variables_that_are_read():
    assert set(named("ConfigMap")["data"]) <= known_variables()
    told = (KUBERNETES / "settings.yaml").read_text()
    assert set(re.findall(r"--from-literal=(\w+)=", told)) <= known_variables()


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_pods_have_no_rights(kind):
    pod = named(kind)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/tmp"}
        assert "memory" in container["resources"]["limits"]


def test_each_pod_has_a_disk_of_its_own_which_outlives_it():
    spec = named("StatefulSet")["spec"]
    assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["data"]
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"


def test_a_pod_has_time_to_drain():
    pod = named("StatefulSet")["spec"]["template"]["spec"]
    wait_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    grace_s = int(named("ConfigMap")["data"]["GATEWAY_SHUTDOWN_GRACE_S"])
    assert pod["terminationGracePeriodSeconds"] >= wait_s + grace_s + 10


def test_probes_ask_what_there_is():
    container = named("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def metadata_in_the_code() -> set[str]:
    return {str(network) for network, why in REFUSED_AT_FIRST if why in {LINK_LOCAL, METADATA}}


def test_pods_are_kept_from_the_addresses_that_the_gateway_refuses_itself():
    rules = named("NetworkPolicy")["spec"]["egress"]
    blocks = [to["ipBlock"] for rule in rules for to in rule["to"]]
    assert {block["cidr"] for block in blocks} == {"0.0.0.0/0", "::/0"}
    for block in blocks:
        whole = ip_network(block["cidr"])
        assert all(ip_network(text).subnet_of(whole) for text in block["except"])
    denied = [text for block in blocks for text in block["except"]]
    assert sorted(denied) == sorted(metadata_in_the_code())


# systemd


def test_the_unit_is_kept_from_the_addresses_that_the_gateway_refuses_itself():
    lines = re.findall(r"^IPAddressDeny=(.*)$", UNIT.read_text(), re.M)
    denied = [str(ip_network(text)) for line in lines for text in line.split()]
    assert sorted(denied) == sorted(metadata_in_the_code())


def test_the_unit_is_closed_off():
    text = UNIT.read_text()
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "StateDirectory=llmgateway",
        "User=llmgateway",
    ):
        assert line in text.splitlines()
    example = (ROOT / "deploy/systemd/environment.example").read_text()
    given = set(re.findall(r"^#?([A-Z][A-Z_]+)=", example, re.M)) - {"WORKERS"}
    assert given | set(re.findall(r"(GATEWAY_\w+)=", text)) <= known_variables()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/llmgateway/.venv/bin/python", sys.executable))
    told = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    ours = [line for line in told.stderr.splitlines() if UNIT.name in line]
    assert ours == []
