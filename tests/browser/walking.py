"""What several walks do: fill in forms of the admin, and ask the gateway for an answer meanwhile as a client does."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import product

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import serious_faults
from tests.browser.watching import SIZES, SOON_MS, Watched

ASK = {"max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
IS_DARK = "matchMedia('(prefers-color-scheme: dark)').matches"
PAINT = "dark => document.documentElement.classList.toggle('dark', dark)"
"""The admin's library sets its own class once, when a page is loaded."""
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
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
    with page.expect_response(lambda answer: "/autocomplete/?term=" in answer.url):
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


def faults_of(page: Page) -> Iterator[str]:
    """What is wrong with the page as it is now, at a desk and on a phone, in the light and in the dark.

    It is loaded once and shown in all four ways; then it is as it was.
    """
    was_size, was_dark = page.viewport_size, page.evaluate(IS_DARK)
    for (size, (width, height)), scheme in product(SIZES.items(), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": height})
        paint(page, is_dark=scheme == "dark")
        for fault in serious_faults(page):
            yield f"{page.url} ({size}, {scheme}): {fault}"
        wide, inner = page.evaluate(WIDTHS)
        if wide > inner:
            yield f"{page.url} ({size}, {scheme}): {wide} px wide, of which {inner} are seen"
    if was_size is not None:
        page.set_viewport_size(was_size)
    paint(page, is_dark=was_dark)


def paint(page: Page, *, is_dark: bool) -> None:
    """Show the page in the colours of the dark, or of the light."""
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    page.evaluate(PAINT, is_dark)


def check_look(window: Watched) -> None:
    """The page that is shown now, whatever was entered, is as every page must be."""
    faults = list(faults_of(window.page))
    assert not faults, "\n".join(faults)


def drag(page: Page, row: Locator, onto: Locator) -> None:
    """Take a row by its handle, and let it go at the place of another one."""
    handle = row.get_by_text("drag_indicator").first
    handle.scroll_into_view_if_needed()
    handle.hover()
    page.mouse.down()
    place = onto.get_by_text("drag_indicator").first
    place.hover()
    place.hover(position={"x": 4, "y": 4})
    page.mouse.up()


def follow(window: Watched, ending: str) -> None:
    """Go where a link leads whose address ends so; it may be kept in a menu that is closed."""
    link = window.page.locator(f'a[href$="/{ending}/"]').first
    window.open(str(link.get_attribute("href")))


def upload(page: Page, name: str, text: str) -> None:
    """Choose a file of that name and text."""
    page.locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
    )
