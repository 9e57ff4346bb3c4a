"""Every page, looked at on a desk in the light and on a phone in the dark: no complaint, no serious fault, nothing wider than a phone."""

from datetime import UTC, datetime

import pytest

from accounting.report_query import DIMENSIONS
from tests.browser.axe import serious_faults
from tests.browser.chromium import both, in_a_browser
from tests.browser.installation import SIZES

pytestmark = in_a_browser

MONTH = f"{datetime.now(UTC):%Y-%m}"
REPORTS = [
    "/usage/",
    f"/usage/by/{min(DIMENSIONS)}/",
    "/usage/performance/",
    "/usage/caching/",
    "/usage/paths/",
    "/usage/top/",
    "/usage/budgets/",
    "/usage/statements/",
    f"/usage/statements/alder/{MONTH}/",
    "/usage/audit/",
    "/usage/reconciliation/",
    "/usage/requests/",
    "/usage/live/",
    "/usage/playground/",
    "/usage/teams/",
    "/usage/teams/alder/",
]
BY_HAND = [
    "/admin/",
    "/admin/first-steps/",
    "/admin/first-steps/?step=provider&kind=openrouter",
    "/admin/explain/?key=1&alias=claude-sonnet-4-5",
    "/admin/password_change/",
    "/admin/routing/provider/1/history/",
    "/admin/accounting/price/import/",
    "/api/docs/",
]
DRAWN_LATE = {"/api/docs/": "#operations-tag-teams"}
"""What says that a page is whole which a script draws."""
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"


def look_at(seen, path, size):
    """What is wrong with the page, opened at this size; it is as wide as the window at the other one, too."""
    for name in sorted(SIZES, key=lambda name: name != size):
        width, height = SIZES[name]
        seen.page.set_viewport_size({"width": width, "height": height})
        if name == size:
            seen.open(path)
            seen.page.wait_for_selector(DRAWN_LATE.get(path, "main, body"))
            for fault in serious_faults(seen.page):
                yield f"{path} ({size}): {fault}"
        wide, inner = seen.page.evaluate(WIDTHS)
        if wide > inner:
            yield f"{path} ({name}): {wide} px wide, of which {inner} are seen"


@both
@pytest.mark.parametrize("room", ["reports", "routing", "accounting", "others"])
def test_pages_are_sound(window, installation, room, size, scheme):
    found = installation.addresses
    paths = {
        "reports": REPORTS + found.pop("requests"),
        "routing": found.pop("routing"),
        "accounting": found.pop("accounting"),
        "others": BY_HAND + [path for pages in found.values() for path in pages],
    }[room]
    seen = window(size=size, scheme=scheme)
    faults = [fault for path in paths for fault in look_at(seen, path, size)]
    assert not faults, "\n".join(faults)


@both
def test_the_page_to_sign_in_at_is_sound(window, size, scheme):
    faults = list(look_at(window("", size=size, scheme=scheme), "/usage/sign-in/", size))
    assert not faults, "\n".join(faults)
