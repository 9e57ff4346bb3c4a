"""The first steps in a gateway of their own: the page waits for a request, a real one is sent, and the page turns green."""

import html
import re
import time

import httpx
import pytest

from tests.processes import GatewayProcess, gateway_process

pytestmark = pytest.mark.processes
PAGE = "/admin/first-steps/"
SESSION = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore
user = get_user_model().objects.get(username="admin")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print("session", session.session_key)
"""
WITHIN_S = 60


@pytest.fixture
def gateway(tmp_path):
    with gateway_process(tmp_path / "gateway") as process:
        process.begin_prepared()
        process.manage("first_run", "--port", str(process.port))
        process.start()
        yield process


def browser(gateway: GatewayProcess) -> httpx.Client:
    """A client that is signed in as the administrator whom first_run made."""
    told = gateway.manage("shell", "--verbosity", "0", "-c", SESSION)
    cookies = {"sessionid": re.search(r"session (\w+)", told)[1]}
    return httpx.Client(
        base_url=gateway.url, cookies=cookies, timeout=WITHIN_S, verify=False, follow_redirects=True
    )


def post(client: httpx.Client, **fields: str) -> str:
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(f"{PAGE}?step=key").text
    )[1]
    answer = client.post(
        PAGE,
        data={"csrfmiddlewaretoken": token, **fields},
        headers={"referer": str(client.base_url)},
    )
    assert answer.status_code == 200
    return html.unescape(answer.text)


def test_a_real_request_turns_the_page_green(gateway):
    with browser(gateway) as client:
        page = post(client, do="key", team="platform", name="laptop")
        [key] = set(re.findall(r"gw-[0-9A-Za-z]{46}", page))
        news = html.unescape(re.search(r'data-news="([^"]+)"', page)[1])
        assert client.get(news).json()["state"] == "waiting"
        assert f"{gateway.url}/v1/messages" in page
        model = re.search(r"claude --model ([\w.-]+)", page)[1]

        assert answered(gateway, key, model).status_code == 200
        told = wait_for(client, news)

    assert told["state"] == "succeeded"
    assert "It works." in told["html"]
    assert "demo-1" in told["html"]
    [row] = gateway.records()
    assert f"/usage/requests/{row['request_id']}/" in told["html"]


def answered(gateway: GatewayProcess, key: str, model: str) -> httpx.Response:
    """The answer to what the copied line sends, once the process knows the key."""
    until = time.monotonic() + WITHIN_S
    hello = [{"role": "user", "content": "Hello"}]
    body = {"model": model, "max_tokens": 500, "messages": hello}
    while True:
        answer = httpx.post(
            f"{gateway.url}/v1/messages",
            json=body,
            headers={"x-api-key": key},
            timeout=WITHIN_S,
            verify=False,
        )
        if answer.status_code != 401 or time.monotonic() > until:
            return answer
        time.sleep(0.05)


def wait_for(client: httpx.Client, news: str) -> dict[str, str]:
    until = time.monotonic() + WITHIN_S
    while True:
        told = client.get(news).json()
        if told["state"] != "waiting" or time.monotonic() > until:
            return told
        time.sleep(0.05)
