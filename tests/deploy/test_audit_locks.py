"""The audit of locked packages: one that nobody knows hides no other, and a hole in any lock fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.audit_locks import read_pins, rounds_of

ROOT = Path(__file__).resolve().parent.parent.parent
FAKE_PIP_AUDIT = """
import json, sys
from pathlib import Path
packages = [line.split("==") for line in Path(sys.argv[-1]).read_text().split()]
assert len({name for name, _ in packages}) == len(packages), "twice"
known = json.loads(Path(__file__).with_name("known.json").read_text())
print(json.dumps({"dependencies": [
    {"name": name, "version": version, "vulns": known[name]} if name in known
    else {"name": name, "skip_reason": f"Dependency not found: {name}"}
    for name, version in packages
], "fixes": []}))
sys.exit(any(known.get(name) for name, _ in packages))
"""
FAKE_NPM = """
import sys
from pathlib import Path
assert sys.argv[1] == "audit" and Path("package-lock.json").exists()
print(Path(__file__).with_name("npm.json").read_text())
"""
HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}


class Place:
    """A folder with locks, and the two programs that are asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(
            "requirements.lock",
            "good==1.0 \\\n    --hash=sha256:00\nodd[x]==2.0 ; python_version < '4'\n",
        )
        self.write(
            "requirements-dev.lock", "good==1.0 \\\n    --hash=sha256:00\nDeep.er==3.0\ngood2==1\n"
        )
        self.write("requirements-fuzz.lock", "good==0.9\n")
        lock = {"packages": {"": {}, "node_modules/a": {}, "node_modules/b": {}}}
        self.write("tests/clients/some/package-lock.json", json.dumps(lock))
        self.write("pip_audit.py", FAKE_PIP_AUDIT)
        self.write("npm.py", FAKE_NPM)
        self.know(good=[], odd=[], good2=[], **{"deep.er": []})
        self.npm_says({"vulnerabilities": {}})

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def know(self, **known: list) -> None:
        self.write("known.json", json.dumps(known))

    def npm_says(self, report: object) -> None:
        self.write("npm.json", json.dumps(report))

    def audit(self, **commands: str) -> subprocess.CompletedProcess[str]:
        pip_audit = commands.get("pip_audit", f"{sys.executable} {self.folder}/pip_audit.py")
        npm = commands.get("npm", f"{sys.executable} {self.folder}/npm.py")
        return subprocess.run(
            [sys.executable, ROOT / "deploy/audit_locks.py", "--folder", self.folder,
             "--pip-audit", pip_audit, "--npm", npm],
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def test_without_holes_it_passes_and_says_how_many_were_asked_for(place):
    told = place.audit()
    assert told.returncode == 0, told.stderr
    assert "PyPI's advisories: 5 packages, no known hole" in told.stdout
    assert "package-lock.json: 2 packages, no known hole" in told.stdout
    assert "not audited" not in told.stdout.lower()


@pytest.mark.parametrize(
    ("name", "lock"),
    [("odd", "requirements.lock"), ("deep.er", "requirements-dev.lock"), ("good", "requirements-fuzz.lock")],
)  # fmt: skip
def test_a_hole_in_any_lock_fails_and_is_named_beside_packages_that_nobody_knows(place, name, lock):
    place.know(**{name: [HOLE]})
    told = place.audit()
    assert told.returncode == 1
    (line,) = [
        line for line in told.stdout.splitlines() if line.startswith("HOLE") and lock in line
    ]
    assert name in line
    assert "PYSEC-2026-1, mended in 1.1" in line
    others = {"odd", "deep.er", "good2", "good"} - {name}
    unasked = re.search(r"not audited: (.*)", told.stdout)[1].split(", ")
    assert set(unasked) == others


def test_packages_that_nobody_knows_are_named_and_no_failure(place):
    place.know(good=[], good2=[], odd=[])
    told = place.audit()
    assert told.returncode == 0
    assert "4 packages, no known hole" in told.stdout
    assert "PyPI's advisories: not audited: deep.er" in told.stdout


def test_a_hole_in_an_npm_lock_fails(place):
    why = {"title": "Prototype pollution", "severity": "high"}
    place.npm_says({"vulnerabilities": {"a": {"severity": "high", "via": [why, "b"]}}})
    told = place.audit()
    assert told.returncode == 1
    assert re.search(r"HOLE  a \(.*package-lock.json\): high, Prototype pollution", told.stdout)


def test_where_no_advisories_can_be_read_it_says_so(place):
    place.know()
    place.npm_says({"message": "405 Method Not Allowed"})
    told = place.audit()
    assert told.returncode == 0
    assert told.stdout.count("NOT AUDITED, none can be read from here.") == 2
    assert "Dependency not found" in told.stdout
    assert "405 Method Not Allowed" in told.stdout


@pytest.mark.parametrize("broken", ["/nowhere/at/all", f"{sys.executable} -c 'print(1)'"])
def test_a_program_that_is_missing_or_talks_nonsense_is_no_clean_bill(place, broken):
    told = place.audit(pip_audit=broken, npm=broken)
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("NOT AUDITED") == 2
    assert "no known hole" not in told.stdout


def test_every_package_of_every_lock_of_ours_is_asked_for():
    locks = sorted(ROOT.glob("requirements*.lock"))
    assert {"requirements.lock", "requirements-dev.lock", "requirements-otel.lock",
            "requirements-fuzz.lock", "requirements-litellm-proxy.lock"} <= {lock.name for lock in locks}  # fmt: skip
    pins = read_pins(locks)
    for lock in locks:
        blocks = re.findall(r"^(?=\S)(?!#).*", lock.read_text(), re.M)
        mine = [pin for pin, names in pins.items() if lock.name in names]
        assert len(mine) == len(blocks), lock.name
    asked = [text for texts in rounds_of(pins) for text in texts]
    assert sorted(asked) == sorted(f"{name}=={version}" for name, version in pins)


def test_make_and_ci_ask_for_all():
    told = subprocess.run(
        ["make", "--dry-run", "audit", "PYTHON=python3"], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert "deploy/audit_locks.py" in told.stdout
    ci = (ROOT / ".ci/run").read_text()
    assert re.search(r"^set -euo pipefail$", ci, re.M)
    assert re.search(r"^make --no-print-directory audit$", ci, re.M), "a hole stops it"
