"""Asks for known holes in every locked package: PyPI's advisories for the Python locks, npm's for the npm ones.

A hole ends with 1. What could not be asked for is named, one by one or as a whole, and ends with 0: where there is no
network that is no fault of the packages, and one package that PyPI does not know hides no other. Needs pip-audit
(through uv) and npm; where one is missing, that is said.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.M)
ASKING_S = 150

Pins = dict[tuple[str, str], set[str]]
"""The locks that have a package in a version."""


@dataclass
class Told:
    """What one source of advisories said: sentences about holes, what it could not say, and of how many it spoke."""

    source: str
    holes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    asked: int = 0
    failure: str = ""


def read_pins(locks: list[Path]) -> Pins:
    """Every package in every version, also those of other systems."""
    pins: Pins = defaultdict(set)
    for lock in locks:
        for name, version in PIN.findall(lock.read_text(encoding="utf-8")):
            pins[name.lower(), version].add(lock.name)
    return pins


def rounds_of(pins: Pins) -> list[list[str]]:
    """Requirements, such that none of the lists has a package twice, as pip-audit wants it."""
    rounds: list[list[str]] = []
    seen: dict[str, int] = defaultdict(int)
    for name, version in sorted(pins):
        if seen[name] == len(rounds):
            rounds.append([])
        rounds[seen[name]].append(f"{name}=={version}")
        seen[name] += 1
    return rounds


def run(command: list[str], cwd: Path) -> tuple[str, str]:
    """What the command wrote, and the last it complained of; its exit code says the same less exactly."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=ASKING_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    lines = done.stderr.strip().splitlines()
    return done.stdout, lines[-1] if lines else f"it ended with {done.returncode}"


def as_object(text: str) -> dict[str, Any]:
    """The JSON object that the text is; empty for anything else."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def ask_pypi(locks: list[Path], pip_audit: list[str]) -> Told:
    """What PyPI's advisories say of the packages in these locks."""
    pins = read_pins(locks)
    told = Told("PyPI's advisories")
    for requirements in rounds_of(pins):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "requirements.txt"
            file.write_text("\n".join(requirements) + "\n", encoding="utf-8")
            options = [
                "--no-deps",
                "--disable-pip",
                "--progress-spinner",
                "off",
                "--format",
                "json",
            ]
            out, complaint = run([*pip_audit, *options, "--requirement", str(file)], ROOT)
        found = as_object(out).get("dependencies")
        if found is None:
            told.failure = complaint
            told.unknown += requirements
            continue
        _note_packages(told, found, pins)
        spoken_of = {f"{entry['name'].lower()}" for entry in found}
        told.unknown += [text for text in requirements if text.split("==")[0] not in spoken_of]
    told.asked = len(pins) - len(told.unknown)
    return told


def _note_packages(told: Told, found: list[dict[str, Any]], pins: Pins) -> None:
    for entry in found:
        name = entry["name"].lower()
        if "skip_reason" in entry:
            told.unknown.append(name)
            told.failure = entry["skip_reason"]
        for hole in entry.get("vulns", []):
            where = ", ".join(sorted(pins.get((name, entry["version"]), {"a lock"})))
            mended = ", ".join(hole.get("fix_versions") or ["no version"])
            told.holes.append(
                f"{name} {entry['version']} ({where}): {hole['id']}, mended in {mended}"
            )


def ask_npm(lock: Path, npm: list[str]) -> Told:
    """What npm's advisories say of the packages in this lock."""
    place = lock.relative_to(ROOT) if lock.is_relative_to(ROOT) else lock
    told = Told(f"npm's advisories for {place}")
    packages = len(json.loads(lock.read_text(encoding="utf-8")).get("packages", {})) - 1
    out, complaint = run([*npm, "audit", "--package-lock-only", "--json"], lock.parent)
    report = as_object(out)
    if "vulnerabilities" not in report:
        told.failure = str(report.get("message") or complaint)
        told.unknown = [f"{packages} packages"]
        return told
    told.asked = packages
    for name, entry in report["vulnerabilities"].items():
        why = [hole["title"] for hole in entry.get("via", []) if isinstance(hole, dict)]
        told.holes.append(
            f"{name} ({place}): {entry['severity']}, {'; '.join(why) or 'by another'}"
        )
    return told


def words_about(told: Told) -> list[str]:
    """What there is to tell a person, a line each."""
    lines = [f"HOLE  {hole}" for hole in told.holes]
    if not told.asked:
        lines.append(f"{told.source}: NOT AUDITED, none can be read from here. {told.failure}")
        return lines
    holes = f"{len(told.holes)} known holes" if told.holes else "no known hole"
    lines.append(f"{told.source}: {told.asked} packages, {holes}")
    if told.unknown:
        lines.append(f"{told.source}: not audited: {', '.join(sorted(told.unknown))}")
    return lines


def main() -> int:
    """Ask for all locks; 1 where a hole is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip-audit", default="pip-audit", help="The command.")
    parser.add_argument("--npm", default="npm", help="The command.")
    parser.add_argument("--folder", type=Path, default=ROOT, help="Where the locks lie.")
    options = parser.parse_args()
    locks = sorted(options.folder.glob("requirements*.lock"))
    told = [ask_pypi(locks, shlex.split(options.pip_audit))]
    for lock in sorted(options.folder.glob("tests/**/package-lock.json")):
        told.append(ask_npm(lock, shlex.split(options.npm)))
    sys.stdout.writelines(f"{line}\n" for one in told for line in words_about(one))
    return 1 if any(one.holes for one in told) else 0


if __name__ == "__main__":
    raise SystemExit(main())
