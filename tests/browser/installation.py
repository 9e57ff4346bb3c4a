"""A running gateway with a company in it, and windows for the people who sign in there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Playwright, StorageState

from tests.browser.chromium import find_chromium
from tests.browser.company import PEOPLE
from tests.browser.held_upstream import HeldUpstream
from tests.browser.watching import SIZES, Watched, watched
from tests.processes import ROOT, GatewayProcess, gateway_process

FILL_S_MAX = 180


@dataclass
class Installation:
    """The gateway, what it knows, and who has signed in."""

    gateway: GatewayProcess
    upstream: HeldUpstream
    signed_in: dict[str, StorageState] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def addresses(self) -> dict[str, list[str]]:
        """Where the pages of the admin are, by room."""
        found: dict[str, list[str]] = json.loads(
            (self.gateway.data_dir / "addresses.json").read_text()
        )
        return found

    def secret(self, name: str) -> str:
        """What the first run has kept: ``first_key`` or ``admin_password``."""
        return (self.gateway.data_dir / "secrets" / name).read_text().strip()

    def password(self, name: str) -> str:
        return name if name in PEOPLE else self.secret("admin_password")

    @contextmanager
    def window(
        self, browser: Browser, name: str, *, size: str = "desktop", scheme: str = "light"
    ) -> Iterator[Watched]:
        """A window of a person who is signed in, or of nobody (no name)."""
        if name and name not in self.signed_in:
            with watched(browser, self.url, size=SIZES[size], scheme=scheme) as first:
                sign_in(first, name, self.password(name))
                self.signed_in[name] = first.context.storage_state()
        state = self.signed_in.get(name)
        with watched(browser, self.url, size=SIZES[size], scheme=scheme, signed_in=state) as seen:
            yield seen


@contextmanager
def installed(data_dir: Path) -> Iterator[Installation]:
    """Fill the folder, and serve from it."""
    with (
        HeldUpstream() as upstream,
        gateway_process(data_dir, GATEWAY_LOG_LEVEL="WARNING") as gateway,
    ):
        subprocess.run(
            [sys.executable, "-m", "tests.browser.company"],
            cwd=ROOT,
            env={**gateway.environment, "UPSTREAM_URL": upstream.url},
            check=True,
            timeout=FILL_S_MAX,
            stdout=subprocess.DEVNULL,
        )
        gateway.start()
        yield Installation(gateway, upstream)


def launch(playwright: Playwright) -> Browser:
    """Chromium."""
    path = find_chromium()
    assert path, "Tests in a browser need Chromium: install it, or name it by CHROMIUM."
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def sign_in(window: Watched, name: str, password: str) -> None:
    """Through the page, as people do."""
    page = window.open("/usage/sign-in/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(window.url + "/usage/")
