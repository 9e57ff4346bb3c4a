"""A new administrator with an empty database: from signing in to a client's first request, and how long that takes."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.chromium import in_a_browser
from tests.browser.held_upstream import HeldUpstream
from tests.browser.watching import SIZES, Watched, watched
from tests.clients import claude_code
from tests.processes import GatewayProcess, gateway_process

pytestmark = in_a_browser

NAME, PASSWORD = "ada", "a password of Ada's own"
FIRST_RUN_S_MAX = 120
CLICK_S = 3
"""A person reads what has come, and finds where to click."""
FIELD_S = 6
"""And types, or pastes, what has to be looked for in another window."""
LINE_S_MAX = 90
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
"""As browsers have it on a page without TLS."""
ADD_A_PLACE = "document.body.appendChild(document.createElement('textarea')).focus()"


@dataclass
class Person:
    """Who walks; counts what a person has to do by hand."""

    window: Watched
    fields: int = 0
    clicks: int = 0
    began_s: float = field(default_factory=time.monotonic)

    def types(self, words: str) -> None:
        """Type where the page waits for it, and go on with Enter."""
        self.fields += 1
        self.window.page.keyboard.type(words)
        self.window.page.keyboard.press("Enter")

    def clicks_on(self, place: Locator) -> None:
        self.clicks += 1
        place.click()

    def goes_on(self, button: str) -> None:
        """Press Enter: the button has been made ready, and nothing has to be filled in."""
        self.clicks += 1
        ready = self.window.page.get_by_role("button", name=button)
        expect(ready).to_be_focused()
        self.window.page.keyboard.press("Enter")

    def took_s(self) -> float:
        """The time until now, with that which a person needs and a program does not."""
        walked_s = time.monotonic() - self.began_s
        return walked_s + self.fields * FIELD_S + self.clicks * CLICK_S


@contextmanager
def empty_gateway(data_dir: Path) -> Iterator[GatewayProcess]:
    """A gateway that nobody has set up: it has its tables, and one administrator."""
    login = {"DJANGO_SUPERUSER_USERNAME": NAME, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    with gateway_process(data_dir, GATEWAY_LOG_LEVEL="WARNING") as gateway:
        gateway.manage("migrate", "-v0")
        gateway.manage("createsuperuser", "--noinput", "--email", "ada@example.com", **login)
        gateway.start(until="/health/live")
        yield gateway


@pytest.fixture
def upstream() -> Iterator[HeldUpstream]:
    """A provider that answers at once."""
    with HeldUpstream() as provider:
        provider.go_on.set()
        yield provider


def run_in_a_shell(line: str, home: Path) -> str:
    """What a line prints that was pasted into a shell, where ``claude`` is installed and somebody says hello."""
    (home / "project").mkdir(parents=True)
    environment = claude_code.quiet_environment(home)
    path = f"{claude_code.PROGRAM.parent}{os.pathsep}{environment['PATH']}"
    run = subprocess.run(
        ["bash", "-c", line],
        input="Hello",
        cwd=home / "project",
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LINE_S_MAX,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def walk_to_the_lines(person: Person, upstream: HeldUpstream) -> None:
    """Sign in, and take the steps with no more than they ask for."""
    page = person.window.open("/")
    expect(page.get_by_label("Name")).to_be_focused()
    person.fields += 1
    page.keyboard.type(NAME)
    page.keyboard.press("Tab")
    person.types(PASSWORD)
    person.clicks_on(page.get_by_role("link", name="Take the first steps"))
    person.clicks_on(page.get_by_role("link", name="OpenAI-compatible"))

    person.fields += 1
    page.get_by_label("Base URL").fill(upstream.url)
    page.keyboard.press("Tab")
    person.types("sk-first-0000000000")
    expect(page.locator("#test")).to_contain_text("answers")
    person.goes_on("Use these models")
    person.goes_on("Make the key")
    expect(page.locator(".llmgw-news")).to_contain_text("Waiting for the first request")


def pasted(person: Person) -> str:
    """What was copied, pasted into another place."""
    page = person.window.page
    page.evaluate(ADD_A_PLACE)
    person.fields += 1
    page.keyboard.press("Control+V")
    return page.locator("textarea:focus").input_value()


@pytest.mark.parametrize(
    ("client", "size", "scheme", "has_tls"),
    [("Claude Code", "desktop", "light", True), ("curl", "phone", "dark", False)],
    ids=["claude-code", "curl"],
)
def test_two_minutes_lead_from_nothing_to_a_first_request(
    browser, upstream, tmp_path, client, size, scheme, has_tls
):
    if client == "Claude Code":
        claude_code.install()
    with (
        empty_gateway(tmp_path / "data") as gateway,
        watched(browser, gateway.url, size=SIZES[size], scheme=scheme) as window,
    ):
        if not has_tls:
            window.context.add_init_script(NO_CLIPBOARD)
        person = Person(window)
        walk_to_the_lines(person, upstream)
        person.clicks_on(window.page.get_by_role("button", name=f"Copy {client}"))
        expect(window.page.get_by_role("status").filter(has_text="Copied")).to_be_attached()
        line = pasted(person)
        assert line == window.page.get_by_role("region", name=client).locator("pre").inner_text()

        told = run_in_a_shell(line, tmp_path / "home")
        assert "done." in told
        good = window.page.locator(".llmgw-news-good")
        expect(good).to_contain_text("It works")
        expect(good).to_contain_text("1,200 in, 34 out")
        took_s = person.took_s()
    assert (person.fields, person.clicks) == (5, 5)
    assert took_s < FIRST_RUN_S_MAX, f"{took_s:.0f} s"
