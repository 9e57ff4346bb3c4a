"""What several walks do: fill in forms of the admin, and ask the gateway for an answer meanwhile as a client does."""

import re
import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.browser.watching import SOON_MS, Watched

ASK = {"max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
SECRET = re.compile(r"gw-[0-9A-Za-z]{46}")


def ask(url: str, key: str, model: str) -> httpx.Response:
    """One small request."""
    return httpx.post(
        f"{url}/v1/messages", json={**ASK, "model": model}, headers={"x-api-key": key}, timeout=60
    )


def asked_until(
    url: str,
    key: str,
    model: str,
    is_so: Callable[[httpx.Response], bool],
    *,
    within_s: float = SOON_MS / 1000,
) -> httpx.Response:
    """The first answer that is so; what was saved a moment ago is in force a moment later."""
    until = time.monotonic() + within_s
    while not is_so(answer := ask(url, key, model)):
        assert time.monotonic() < until, f"{answer.status_code}: {answer.text}"
        time.sleep(0.1)
    return answer


def open_until(window: Watched, path: str, shows: str, *, within_s: float = SOON_MS / 1000) -> Page:
    """The page once it shows that: records are written some moments after an answer."""
    until = time.monotonic() + within_s
    while not window.open(path).locator(shows).count():
        assert time.monotonic() < until, f"{path} does not show {shows}"
    return window.page


def choose(page: Page, name: str, word: str) -> None:
    """Choose what the word finds, in a box that is searched by typing."""
    page.locator(f'select[name="{name}"] + .select2-container .select2-selection').click()
    page.locator(".select2-container--open .select2-search__field").fill(word)
    page.locator(".select2-results__option[aria-selected]", has_text=word).first.click()
    expect(page.locator(f'select[name="{name}"] option:checked')).to_contain_text(
        word, ignore_case=True
    )


def save(page: Page) -> None:
    """Send the form of a row."""
    page.locator('[name="_save"]').click()


def shown_secret(page: Page) -> str:
    """The new key on the page that shows it once."""
    found = SECRET.search(page.locator("pre").first.inner_text())
    assert found, page.url
    return found[0]


def make_key(page: Page, url: str, name: str) -> str:
    """Make a key of team alder's in the admin."""
    page.goto(f"{url}/admin/accounting/virtualkey/add/")
    page.locator('[name="name"]').fill(name)
    choose(page, "team", "alder")
    save(page)
    return shown_secret(page)
