"""Runs one target under atheris, or all of them one after the other, each in a process of its own.

What is found lies in var/fuzz/NAME: the corpus that grew, and crash-*, slow-unit-*, timeout-* for what failed. A
finding becomes a case or a test; run it alone with ``python -m fuzz NAME --file var/fuzz/crash-…``.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fuzz.seeds import ROOT, seeds_of

NAMES = ("sse", "calls", "requests", "streams", "answers", "headers", "bodies")
INPUT_BYTES_MAX = 32 * 1024
INPUT_S = 10
MISSING = (
    "atheris is not installed, so nothing was fuzzed: `make fuzz` installs it. By hand: pip install --require-hashes "
    "--target .venv/atheris -r requirements-fuzz.lock, then PYTHONPATH=.venv/atheris python -m fuzz"
)
FIGURES = re.compile(r"#\d+\s")


def main() -> int:
    """Do as the command line says; 1 when something was found, 2 when nothing could be looked for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("name", nargs="?", choices=NAMES, help="One target; all without it.")
    parser.add_argument("--seconds", type=int, default=60, help="For each target.")
    parser.add_argument("--seed", type=int, default=0, help="Begin by this number; 0: by chance.")
    parser.add_argument("--file", help="Feed this file once, without a fuzzer.")
    options = parser.parse_args()
    if options.name and options.file:
        set_django_up()
        from fuzz.targets import TARGETS

        TARGETS[options.name](Path(options.file).read_bytes())
        return 0
    if find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    if options.name:
        run(options.name, options.seconds, options.seed)
    failed = []
    for name in NAMES:
        print(f"{name} for {options.seconds} s …", flush=True)
        how = ["--seconds", str(options.seconds), "--seed", str(options.seed)]
        command = [sys.executable, "-m", "fuzz", name, *how]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        print("  " + next((line for line in reversed(lines) if FIGURES.match(line)), "no figures"))
        if done.returncode:
            failed.append(name)
            print("\n".join(lines[-40:]))
    print("found: " + ", ".join(failed) if failed else "nothing found")
    return 1 if failed else 0


def set_django_up() -> None:
    """What reads headers knows models; nothing is asked of a database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
    os.environ.setdefault("GATEWAY_DATA_DIR", str(ROOT / "var" / "fuzz" / "data"))
    import django

    django.setup()


def run(name: str, seconds: int, seed: int) -> None:
    """Fuzz one target; does not come back."""
    import atheris

    with atheris.instrument_imports(
        include=["conversion", "llmgateway.bodies", "llmgateway.auth", "llmgateway.attribution"]
    ):
        set_django_up()  # it imports some of them
        from fuzz.targets import TARGETS

    corpus = ROOT / "var" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for example in seeds_of(name):
        place = corpus / hashlib.sha1(example, usedforsecurity=False).hexdigest()
        if not place.exists():
            place.write_bytes(example)
    arguments = [
        f"-seed={seed}", f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={INPUT_S}",
        "-rss_limit_mb=2048", f"-artifact_prefix={corpus.parent}/{name}-", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
