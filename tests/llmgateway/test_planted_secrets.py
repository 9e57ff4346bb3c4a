"""Secrets are planted wherever a request can carry one, everything is logged, and then all that was written is searched."""

import asyncio
import logging
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import httpx
import orjson
import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounting.models import MaskPattern, RequestLog, UsageRecord
from llmgateway.logs import LineFormatter
from routing.models import Credential, FeatureFlag
from tests.fakes.upstream import (
    Answer,
    FakeUpstream,
    SeenRequest,
    chat_answer,
    chunk,
    json_answer,
    stream_answer,
)
from tests.llmgateway.conftest import ALIAS, SECRET, add_openrouter, route_to
from tests.serving import Serving, serving

ODD = "planted+odd/credential=without-a-shape"
PLANTED = {
    "credential": SECRET,
    "credential without a shape": ODD,
    "other key": "sk-ant-api03-planted0123456789abcdef",
    "amazon": "AKIAPLANTED012345678",
    "google": "AIzaPlanted0123456789abcdefghijklmnopqr",
    "github": "ghp_planted0123456789abcdefghijklmnop",
    "slack": "xoxb-planted-0123456789",
    "jwt": "eyJwbGFudGVk.eyJwbGFudGVkIjoxfQ.plantedsignature01",
    "bearer": "plantedbearer.0123456789",
    "pem": "MIIEplantedplantedplanted0123456789",
    "password": "planted-hunter2",
    "cookie": "planted-cookie-0123456789",
    "pattern": "PATIENT-0123456789",
}
PEM = f"-----BEGIN PRIVATE KEY-----\n{PLANTED['pem']}\n-----END PRIVATE KEY-----"


class Kept(logging.Handler):
    """Every line of the log, as an operator sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    handler = Kept()
    names = ("", "llmgateway", "routing", "accounting", "uvicorn.error")
    for name in names:
        logging.getLogger(name).addHandler(handler)
    yield handler.lines
    for name in names:
        logging.getLogger(name).removeHandler(handler)


def confession(key: str) -> str:
    """A text that tells every secret, as a careless client writes it."""
    return (
        f"my key is {key}\nAWS_ACCESS_KEY_ID={PLANTED['amazon']} and {PLANTED['google']},\n{PLANTED['github']} "
        f'{PLANTED["slack"]}\t{PLANTED["jwt"]}\n{PEM}\n{{"password": "{PLANTED["password"]}"}} '
        f"Authorization: Bearer {PLANTED['bearer']} {PLANTED['other key']} {PLANTED['pattern']}"
    )


def in_pieces(text: str) -> list[dict]:
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": text[at : at + 5]}) for at in range(0, len(text), 5)),
        chunk(finish_reason="stop"),
    ]


def echoes(request: SeenRequest, number: int) -> Answer:
    """What the upstream answers: always something with all that it was told in it, the credential above all."""
    credential = request.headers["authorization"].removeprefix("Bearer ")
    text = f"{orjson.loads(request.body)['messages'][0]['content']} and {credential}."
    echo = {"error": {"code": 401, "message": f"Incorrect API key provided: {text}"}}
    page = f"<html><p>Debug: Authorization: Bearer {credential} {quote(credential, safe='')}</p></html>"
    words = in_pieces(text)
    failing = {"error": {"message": f"key {credential}", "code": 502}}
    if request.json.get("stream"):
        return [
            stream_answer(words),
            stream_answer([*words[:-9], failing]),
            stream_answer(words[: len(words) // 2], done=False, ending="reset"),
            Answer([page.encode()], 502, {"content-type": "text/html"}),
        ][number % 4]
    return [
        json_answer(
            chat_answer(text),
            headers={"set-cookie": f"a={PLANTED['cookie']}", "x-echo-token": credential},
        ),
        json_answer(echo, status=401),
        Answer([page.encode()], 500, {"content-type": "text/html"}),
        json_answer(
            {"error": {"message": f"no: {credential}", "type": "x", "code": 400}}, status=400
        ),
        json_answer({"error": {"message": f"busy: {credential}", "code": 429}}),
    ][number % 5]


async def ask_everything(gateway: Serving, key: str) -> list[httpx.Response]:
    text = confession(key)
    headers = {
        "cookie": f"session={PLANTED['cookie']}",
        "x-goog-api-key": PLANTED["google"],
        "referer": f"https://host/?api_key={PLANTED['password']}",
        "x_title": f"title {PLANTED['github']}",
    }
    body = {
        "model": ALIAS,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": text}],
        "metadata": {"user_id": PLANTED["jwt"]},
    }
    named_by_key = {**body, "model": f"any/{key}"}
    got = [await gateway.messages(named_by_key, **{**headers, "x_claude_code_session_id": key})]
    for _round in range(6):
        for is_streamed in (False, True):
            asked = {**body, "stream": is_streamed}
            got += [await gateway.chat(asked, **headers), await gateway.messages(asked, **headers)]
    return got


def written_to_database() -> Iterator[tuple[str, str]]:
    """Every value of every row, bodies unpacked, and the bytes of the file where the database is one."""
    for model in apps.get_models():
        for row in model._default_manager.all().values():
            yield model.__name__, repr(row)
    for log in RequestLog.objects.all():
        for body in log.bodies:
            yield f"RequestLog.{body.name}", body.text.decode("utf-8", "replace")
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal"):
            path = Path(str(connection.settings_dict["NAME"]) + suffix)
            if path.exists():
                yield path.name, path.read_bytes().decode("latin-1")


def written_to_pages(staff: Client) -> Iterator[tuple[str, str]]:
    addresses = [
        reverse("admin:index"),
        "/usage/",
        "/usage/?format=csv",
        "/api/usage/",
        *(
            reverse(f"admin:accounting_{name}_changelist")
            for name in ("usagerecord", "requestlog", "auditentry")
        ),
        "/usage/audit/",
        *(
            reverse("admin:accounting_usagerecord_change", args=[row.pk])
            for row in UsageRecord.objects.all()
        ),
        *(
            reverse("admin:accounting_requestlog_change", args=[row.pk])
            for row in RequestLog.objects.all()
        ),
    ]
    for address in addresses:
        answer = staff.get(address)
        assert answer.status_code == 200, address
        yield address, answer.content.decode()


def written_to_files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes().decode("latin-1")


def exported() -> Iterator[tuple[str, str]]:
    out = StringIO()
    call_command("export_config", stdout=out)
    yield "export_config", out.getvalue()


def leaks(written: Iterator[tuple[str, str]], secrets: dict[str, str]) -> list[str]:
    """Where a secret stands, whole or its second half, in clear or in the spelling of an address."""
    found = []
    for place, text in written:
        for name, secret in secrets.items():
            half = secret[len(secret) // 2 :]
            if any(word in text for word in (secret, half, quote(half, safe=""))):
                at = text.find(half)
                found.append(f"{name} in {place}: …{text[max(0, at - 80) : at + 20]!r}")
    return found


def told_in_stream(text: str) -> str:
    """What a reader of a logged stream puts together."""
    return "".join(
        str(delta.get("content") or delta.get("text") or "")
        for line in text.split("\n")
        if line.startswith("data: {") and _is_json(line[6:])
        for delta in _deltas(orjson.loads(line[6:]))
    )


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _deltas(event: dict) -> list[dict]:
    if "choices" in event:
        return [choice.get("delta", {}) for choice in event["choices"]]
    return [event["delta"]] if isinstance(event.get("delta"), dict) else []


def prepare(upstream: FakeUpstream) -> None:
    FeatureFlag.objects.create(name="log_bodies")
    MaskPattern.objects.create(name="patients", pattern=r"PATIENT-\d+", replacement="[patient]")
    second = add_openrouter("second", upstream.url)
    row = Credential.objects.get(provider=second)
    row.seal(ODD)
    row.save()
    route_to(ALIAS, second)


@pytest.mark.usefixtures("provider")
async def test_no_planted_secret_is_found_in_anything_written(
    key, upstream: FakeUpstream, tmp_path, admin_client, log_lines
):
    await sync_to_async(prepare)(upstream)
    secrets = {**PLANTED, "the client's key": key}
    upstream.answer_with = lambda request: echoes(request, len(upstream.requests) // 2)

    async with serving(tmp_path / "journal", key=key) as gateway:
        got = await ask_everything(gateway, key)
        await gateway.records()
        await asyncio.to_thread(gateway.runtime.request_logs.flush)
        journal = list(written_to_files(tmp_path))
        health = await gateway.http.get("/health/ready")
    assert {answer.status_code for answer in got} >= {200}

    def search() -> list[str]:
        assert RequestLog.objects.count() == UsageRecord.objects.count() >= 20
        return [
            *leaks(written_to_database(), secrets),
            *leaks(written_to_pages(admin_client), secrets),
            *leaks(exported(), secrets),
        ]

    def put_together() -> list[str]:
        bodies = [body for row in RequestLog.objects.all() for body in row.bodies]
        read = [("stream", told_in_stream(body.text.decode("utf-8", "replace"))) for body in bodies]
        assert any("my key is [masked]" in text for _place, text in read)
        return leaks(iter(read), secrets)

    assert await sync_to_async(search)() == []
    assert await sync_to_async(put_together)() == []
    assert leaks(iter(journal), secrets) == []
    assert any("attempt=1" in line for line in log_lines)
    assert leaks((("log", line) for line in log_lines), secrets) == []
    assert leaks(iter([("health", health.text)]), secrets) == []

    # The gateway's own credentials are not told to the client either, where it is the gateway that speaks.
    failures = [
        answer for answer in got if answer.status_code >= 400 or "event: error" in answer.text
    ]
    assert len(failures) >= 4
    own = {"credential": SECRET, "credential without a shape": ODD}
    told = (("answer", re.sub(r"(?s).*event: error", "", answer.text)) for answer in failures)
    assert leaks(told, own) == []
