"""The manifests fit each other: who is named is there, and what one does another does not undo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
DOCUMENTS = [
    doc
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for doc in yaml.safe_load_all(path.read_text())
]
VERSIONS = ("1.29", kubernetes_validate.latest_version())


def of_kind(kind: str) -> list[dict]:
    return [doc for doc in DOCUMENTS if doc["kind"] == kind]


def stateful_set() -> dict:
    (found,) = of_kind("StatefulSet")
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "doc", DOCUMENTS, ids=lambda doc: f"{doc['kind']}-{doc['metadata']['name']}"
)
def test_old_and_new_clusters_take_it(doc, version):
    kubernetes_validate.validate(doc, version, strict=True)


def test_a_mistake_is_seen():
    wrong = {**stateful_set(), "spec": {**stateful_set()["spec"], "replicaz": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_how_many_pods_there_are_is_said_by_the_autoscaler_alone():
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", stateful_set()["metadata"]["name"])
    assert target["apiVersion"] == stateful_set()["apiVersion"]
    assert scaler["spec"]["minReplicas"] >= 2
    assert "replicas" not in stateful_set()["spec"]


def test_services_that_are_named_are_there_with_their_ports():
    ports = {
        doc["metadata"]["name"]: {port["name"]: port["targetPort"] for port in doc["spec"]["ports"]}
        for doc in of_kind("Service")
    }
    assert stateful_set()["spec"]["serviceName"] in ports
    (ingress,) = of_kind("Ingress")
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            assert service["port"]["name"] in ports[service["name"]]
    (container,) = stateful_set()["spec"]["template"]["spec"]["containers"]
    opened = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {target for named in ports.values() for target in named.values()} <= set(opened)
    assert container["args"][container["args"].index("--port") + 1] == str(opened["http"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in opened


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_what_a_pod_names_is_there(kind):
    (doc,) = of_kind(kind)
    pod = doc["spec"]["template"]["spec"]
    claims = doc["spec"].get("volumeClaimTemplates", [])
    volumes = {entry["name"] for entry in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in claims}
    maps = {entry["metadata"]["name"] for entry in of_kind("ConfigMap")}
    (image,) = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["images"]
    assert pod["serviceAccountName"] in {
        one["metadata"]["name"] for one in of_kind("ServiceAccount")
    }
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["envFrom"][0]["configMapRef"]["name"] in maps
        assert container["image"] == image["name"]


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_selectors_find_the_pods(kind):
    labels = stateful_set()["spec"]["template"]["metadata"]["labels"]
    assert of_kind(kind)
    for doc in of_kind(kind):
        wanted = doc["spec"].get("selector") or doc["spec"]["podSelector"]
        assert wanted.get("matchLabels", wanted).items() <= labels.items()


# What a new pod waits for


def waiting(folder: Path, *, python: str) -> subprocess.CompletedProcess[str]:
    """Run the init container's script with a Python of the test's own, without its pauses."""
    for name, text in (("python", python), ("sleep", ":"), ("timeout", 'shift\n"$@"')):
        script = folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    (container,) = stateful_set()["spec"]["template"]["spec"]["initContainers"]
    return subprocess.run(
        [*container["command"], *container["args"]], cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_pod_goes_on_once_the_migrations_have_run(tmp_path):
    told = waiting(tmp_path, python='echo x >> tries; [ "$(wc -l < tries)" -ge 3 ]')
    assert told.returncode == 0
    (why,) = set(told.stdout.splitlines())
    assert told.stdout.count("\n") == 2
    assert why.startswith("waiting for the database: its migrations have not all run")


def test_a_pod_says_what_is_wrong_with_the_database_and_gives_up(tmp_path):
    error = "django.db.utils.OperationalError: connection refused\n\tIs the server running?"
    told = waiting(tmp_path, python=f"printf '%s\\n' 'Traceback:' '  File x' '{error}' >&2; exit 1")
    assert told.returncode == 1
    lines = told.stdout.splitlines()
    assert (
        lines[0] == "waiting for the database: django.db.utils.OperationalError: connection refused"
    )
    assert "DATABASE_URL" in lines[-1]
    left = int(re.search(r"left=(\d+)", (KUBERNETES / "gateway.yaml").read_text())[1])
    assert len(lines) == left + 1
    assert 100 <= left * 3 <= 600, "seconds"


@pytest.mark.processes
def test_a_real_wrong_address_is_told(tmp_path):
    (tmp_path / "bin").mkdir()
    command = f'cd {ROOT} && exec {sys.executable} "$@"'
    told = waiting(
        tmp_path / "bin",
        python=f"export GATEWAY_DATA_DIR={tmp_path} DATABASE_URL=postgres://g:pw-secret@127.0.0.1:1/x\n[ -e {tmp_path}/once ] && exit 0; touch {tmp_path}/once\n{command}",
    )
    assert told.returncode == 0
    assert "Connection refused" in told.stdout
    assert "pw-secret" not in told.stdout + told.stderr
