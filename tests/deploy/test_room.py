"""What requests may take of the disk and of memory has room there, and the room has an end."""

from typing import Any

import yaml
from django.conf import settings

from llmgateway.page_bodies import PAGES_AT_ONCE
from tests.processes import ROOT

UNITS = {"m": 2**20, "Mi": 2**20, "g": 2**30, "Gi": 2**30}
WORKERS = 2


def bytes_of(size: str) -> int:
    digits = size.rstrip("".join(UNITS))
    return int(digits) * UNITS[size.removeprefix(digits)]


def compose_gateway() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def kubernetes(name: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text())
    (found,) = [tree for tree in documents if tree["kind"] == kind]
    return found


def test_tmp_has_a_size_that_all_bodies_of_pages_fit_in():
    (tmpfs,) = compose_gateway()["x-gateway"]["tmpfs"]
    path, _, size = tmpfs.partition(":size=")
    assert path == "/tmp"
    pods = kubernetes("gateway.yaml", "StatefulSet")
    volumes = {row["name"]: row for row in pods["spec"]["template"]["spec"]["volumes"]}
    limit = volumes["tmp"]["emptyDir"]["sizeLimit"]

    # Each twice: as it came, and the file in it while its form is read.
    of_a_worker = 2 * (PAGES_AT_ONCE * settings.PAGE_BYTES_MAX + settings.UPLOAD_BYTES_MAX)
    for size_bytes in (bytes_of(size), bytes_of(limit)):
        assert WORKERS * of_a_worker < size_bytes < 2 * WORKERS * of_a_worker


def test_bodies_of_requests_fit_into_the_limits_of_memory():
    compose = compose_gateway()
    in_compose = compose["x-gateway"]["environment"]["GATEWAY_BODIES_BYTES_MAX"]
    compose_limit = compose["services"]["gateway"]["deploy"]["resources"]["limits"]["memory"]
    settings_map = kubernetes("settings.yaml", "ConfigMap")["data"]
    pods = kubernetes("gateway.yaml", "StatefulSet")
    (container,) = pods["spec"]["template"]["spec"]["containers"]
    for bodies_bytes, limit in (
        (in_compose.partition(":-")[2].rstrip("}"), compose_limit.partition(":-")[2].rstrip("}")),
        (settings_map["GATEWAY_BODIES_BYTES_MAX"], container["resources"]["limits"]["memory"]),
    ):
        # docs/operators/sizing.md: a worker at work, and what bodies become when they are read and translated
        of_a_worker = 250_000_000 + 3.5 * int(bodies_bytes)
        assert WORKERS * of_a_worker < bytes_of(limit)
