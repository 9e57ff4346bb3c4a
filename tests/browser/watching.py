"""A browser window in which nothing goes wrong unseen: what the page complains of, and what it asks and is refused."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
    WebError,
    expect,
)  # fmt: skip

LEFT = "net::ERR_ABORTED"
"""A request that was under way when the page was left."""
INSIDE = ("data:", "blob:")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SOON_MS = 60_000
"""What comes within moments may take so long on a busy machine."""
expect.set_options(timeout=SOON_MS)


class Watched:
    """A window on the gateway, and all that went wrong in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.url = url
        self.faults: list[str] = []
        self.refusals: set[int] = set()
        """Statuses that the test has asked for."""
        context.on("console", self._say)
        context.on("weberror", self._break)
        context.on("request", self._ask)
        context.on("requestfailed", self._fail)
        context.on("response", self._answer)

    def open(self, path: str) -> Page:
        """Go to a page of the gateway."""
        self.page.goto(self.url + path)
        return self.page

    def _note(self, words: str) -> None:
        self.faults.append(f"{self.page.url.removeprefix(self.url)}: {words}")

    def _say(self, message: ConsoleMessage) -> None:
        is_told_twice = message.text.startswith("Failed to load resource")
        if message.type == "error" and not is_told_twice:
            self._note(f"console: {message.text}")

    def _break(self, error: WebError) -> None:
        self._note(f"script: {error.error}")

    def _ask(self, request: Request) -> None:
        if not request.url.startswith((self.url, *INSIDE)):
            self._note(f"asks another host: {request.url}")

    def _fail(self, request: Request) -> None:
        if request.failure != LEFT:
            self._note(f"{request.method} {request.url}: {request.failure}")

    def _answer(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.refusals:
            self._note(f"{response.request.method} {response.url}: {response.status}")


@contextmanager
def watched(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int],
    scheme: str,
    signed_in: StorageState | None = None,
) -> Iterator[Watched]:
    """A window that is closed at the end, and complains then of what went wrong in it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        storage_state=signed_in,
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(SOON_MS)
    window = Watched(context, url)
    try:
        yield window
        assert not window.faults, "\n".join(window.faults)
    except BaseException as error:
        error.add_note("\n".join([f"at {window.page.url}", *window.faults]))
        raise
    finally:
        context.close()
