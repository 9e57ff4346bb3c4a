"""One gateway with a company in it for all tests of this room, a browser for each module, windows for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from secrets import token_hex
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.installation import Installation, installed, launch
from tests.browser.watching import Watched


@pytest.fixture(scope="session")
def installation(tmp_path_factory) -> Iterator[Installation]:
    """A gateway process with a company of its own."""
    with installed(tmp_path_factory.mktemp("browser") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Its event loop is gone at the module's end: tests with a loop of their own may follow."""
    with sync_playwright() as playwright:
        yield launch(playwright)


@pytest.fixture
def window(installation: Installation, browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a window for a person, in a size and a colour scheme; what goes wrong in one fails the test at its end."""
    with ExitStack() as windows:

        def opened(name: str = "admin", **how: Any) -> Watched:
            return windows.enter_context(installation.window(browser, name, **how))

        yield opened


@pytest.fixture
def word() -> str:
    """A word that no row has yet, also where a test runs again."""
    return token_hex(4)


@pytest.fixture
def key(installation: Installation) -> str:
    """The key that the first run has made."""
    return installation.secret("first_key")
