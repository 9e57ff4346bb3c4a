"""Extras can be had wherever the gateway runs: locked with hashes, and known to the image, make and the docs."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOYMENT = (ROOT / "docs/operators/deployment.md").read_text()
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
EXTRAS = sorted(set(DECLARED) - {"dev"})


def pins_in(name: str) -> dict[str, str]:
    """The version of each package that a lock names; one without a hash fails."""
    pins = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text()):
        package = Requirement(block.split("\\")[0].split("#")[0].strip())
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), f"{package.name} has no hash"
        (pin,) = package.specifier
        assert pin.operator == "=="
        pins[canonicalize_name(package.name)] = pin.version
    return pins


def test_there_are_extras():
    assert {"otel", "saml", "parquet"} <= set(EXTRAS)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_locked_with_what_it_asks_for(extra):
    pins = pins_in(f"requirements-{extra}.lock")
    for text in DECLARED[extra]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


@pytest.mark.parametrize("other", ["requirements.lock", "requirements-dev.lock"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_can_be_installed_beside_the_rest_and_is_the_one_that_is_tested(extra, other):
    pins, rest = pins_in(f"requirements-{extra}.lock"), pins_in(other)
    differing = {name for name in pins.keys() & rest.keys() if pins[name] != rest[name]}
    assert not differing


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_tested_has_every_package_of_an_extra(extra):
    assert pins_in(f"requirements-{extra}.lock").keys() <= pins_in("requirements-dev.lock").keys()


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_image_can_be_built_with_an_extra(extra):
    build = (ROOT / "Dockerfile").read_text().split("FROM ")[1]
    copied = re.search(r"^COPY (requirements\.lock .*)$", build, re.M)[1].split()
    assert f"requirements-{extra}.lock" in copied
    assert f"!requirements-{extra}.lock" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_image_installs_the_extras_that_it_is_told():
    build = (ROOT / "Dockerfile").read_text().split("FROM ")[1]
    step = re.search(r"^RUN (for extra in .*?)(?<!\\)\n", build, re.M | re.S)[1].replace("\\\n", "")
    told = subprocess.run(
        ["sh", "-c", step.replace(".venv/bin/python", "echo")],
        env={"EXTRAS": "otel saml"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = re.findall(r"--requirement (\S+)", told.stdout)
    assert installed == ["requirements.lock", "requirements-otel.lock", "requirements-saml.lock"]
    assert "--require-hashes" in told.stdout.splitlines()[0]


def test_traces_can_be_switched_on_in_the_image_as_it_comes():
    assert 'ARG EXTRAS="otel"' in (ROOT / "Dockerfile").read_text().splitlines()
    assert "${GATEWAY_EXTRAS-otel}" in (ROOT / "compose.yaml").read_text()


@pytest.mark.parametrize("extra", EXTRAS)
def test_make_installs_an_extra_from_its_lock(extra):
    told = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup", f"EXTRAS={extra}", "PYTHON=python3"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"--require-hashes -r requirements-{extra}.lock" in told.stdout


@pytest.mark.parametrize("extra", EXTRAS)
def test_make_locks_an_extra_without_moving_the_rest(extra):
    told = subprocess.run(
        ["make", "--dry-run", "lock", "PYTHON=python3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    looped = re.search(r"for extra in ([\w ]+);", told)[1].split()
    assert extra in looped
    assert "-c requirements.lock" in told.split("for extra in")[1].split("done")[0]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_docs_tell_what_an_extra_is_and_how_to_get_it(extra):
    section = DEPLOYMENT.split("\n## Extras\n")[1].split("\n## ")[0]
    assert f"| `{extra}` |" in section
    assert "make setup EXTRAS=" in section
    assert "--build-arg EXTRAS=" in section
    assert "GATEWAY_EXTRAS=" in section
