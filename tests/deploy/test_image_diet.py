"""What the image leaves out of the packages is nothing that the gateway opens, LiteLLM in its process included."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = Path(sysconfig.get_path("purelib"))
OPENED = """
import json, sys, warnings
opened = set()
sys.addaudithook(lambda event, words: opened.add(str(words[0])) if event == "open" else None)
warnings.simplefilter("ignore")
import django
django.setup()
from django.urls import resolve
resolve("/admin/")
import llmgateway.asgi, llmgateway.tracing, llmgateway.tokenizer, channels_redis.pubsub
llmgateway.asgi.sockets()
import daphne.cli, daphne.server, daphne.management.commands.runserver
import litellm
answer = litellm.completion(
    model="gpt-4o", messages=[{"role": "user", "content": "hi"}], mock_response="hello"
)
assert answer.choices[0].message.content == "hello"
json.dump(sorted(opened), sys.stdout)
"""


def step() -> str:
    text = (ROOT / "Dockerfile").read_text()
    return re.search(r"^RUN (packages=.*?)(?<!\\)\n", text, re.M | re.S)[1]


def test_what_is_left_out_is_there_to_be_left_out(tmp_path):
    """The step runs as it stands over a copy of the packages' names: a folder that has moved stops the build."""
    packages = tmp_path / ".venv/lib/python3.11/site-packages"
    for top in (
        "litellm/proxy/_experimental",
        "twisted",
        "autobahn",
        "zope",
        "django/conf/locale/de",
    ):
        shutil.copytree(
            PACKAGES / top, packages / top,
            copy_function=lambda _source, target: Path(target).touch(),
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    subprocess.run(["sh", "-ec", step()], cwd=tmp_path, check=True)
    left = {str(path.relative_to(packages)) for path in packages.rglob("*")}
    gone = {path for path in left if re.search(r"/tests?(/|$)|_experimental/out|\.po$", path)}
    assert not gone
    assert {"twisted/internet/reactor.py", "django/conf/locale/de/LC_MESSAGES/django.mo"} <= left
    assert "litellm/proxy/_experimental/mcp_server" in left


@pytest.mark.processes
def test_nothing_that_is_left_out_is_opened(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", OPENED], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"DJANGO_SETTINGS_MODULE": "llmgateway.settings", "GATEWAY_DATA_DIR": str(tmp_path),
             "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    opened = [path for path in json.loads(told.stdout) if path.startswith(str(PACKAGES))]
    assert [path for path in opened if "/litellm/" in path]
    assert [path for path in opened if "/twisted/internet/" in path]
    left_out = re.compile(r"/(?:twisted|autobahn|zope)/(?:.*/)?tests?/|/_experimental/out/|\.po$")
    assert not [path for path in opened if left_out.search(path)]
