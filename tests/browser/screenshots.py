"""``python -m tests.browser.screenshots``: make the pictures in docs/screenshots anew, from a company that is made up.

The same data and sizes each time; only moments and what they are part of (ids, today's share of a month) differ.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.installation import Installation, installed, launch
from tests.browser.walking import ASK, ask
from tests.processes import ROOT

FOLDER = ROOT / "docs" / "screenshots"
BYTES_MAX = 200_000


def live(installation: Installation) -> Callable[[Page], None]:
    """Waits until a request of the live view runs beside one that has ended."""
    key = installation.secret("first_key")

    def stream() -> None:
        body = {**ASK, "model": "held", "stream": True}
        headers = {"x-api-key": key}
        url = f"{installation.url}/v1/messages"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as answer:
            answer.read()

    def begin(page: Page) -> None:
        installation.upstream.go_on.clear()
        expect(page.locator("#live-state")).to_have_text("Live")
        for name in ("demo", "edited", "other"):
            ask(installation.url, key, name)
        threading.Thread(target=stream, daemon=True).start()
        expect(page.locator('[data-status="answering"]')).to_have_count(1)
        expect(page.locator('[data-status="succeeded"]')).to_have_count(3)

    return begin


def explain(page: Page) -> None:
    """Asks, and moves to what is answered."""
    page.get_by_role("button", name="Explain", exact=True).click()
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Explain", exact=True).evaluate(
        "button => button.scrollIntoView()"
    )


def take(browser: Browser, installation: Installation) -> None:
    """All pictures."""
    [rescued] = installation.addresses["requests"]
    for name, path, size, scheme, begin in (
        ("dashboard", "/admin/", "desktop", "light", None),
        ("usage", "/usage/", "desktop", "light", None),
        ("live", "/usage/live/", "desktop", "dark", live(installation)),
        ("request", rescued, "desktop", "light", None),
        ("explain", "/admin/explain/", "desktop", "light", explain),
        ("phone", "/usage/", "phone", "dark", None),
    ):
        with installation.window(browser, "admin", size=size, scheme=scheme) as seen:
            page = seen.open(path)
            page.wait_for_load_state("networkidle")
            if begin is not None:
                begin(page)
            picture = FOLDER / f"{name}.png"
            page.screenshot(path=picture, animations="disabled")
            installation.upstream.go_on.set()
            assert picture.stat().st_size < BYTES_MAX, f"{picture.name} is too big."


def main() -> None:
    """Serve the company from a folder that is thrown away, and take the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder) / "data") as installation,
        sync_playwright() as playwright,
    ):
        take(launch(playwright), installation)


if __name__ == "__main__":
    main()
