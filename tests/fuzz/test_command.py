"""The command says when it cannot look for anything, which is no finding."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [[], ["sse"]])
def test_without_atheris_it_says_what_to_install_and_finds_nothing(words):
    assert find_spec("atheris") is None, "it lies beside the environment, not in it"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    told = subprocess.run(
        [sys.executable, "-m", "fuzz", *words, "--seconds", "1"],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    assert "make fuzz" in told.stderr
    assert "requirements-fuzz.lock" in told.stderr
    assert "found" not in told.stdout
    assert "Traceback" not in told.stderr


def test_a_file_can_be_fed_without_it(tmp_path):
    (tmp_path / "one").write_bytes(b"data: {}\n\n")
    told = subprocess.run(
        [sys.executable, "-m", "fuzz", "sse", "--file", tmp_path / "one"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
