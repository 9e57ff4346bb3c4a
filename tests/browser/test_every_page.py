"""Every page at a desk and on a phone, in the light and in the dark: no complaint, no serious fault, none wider than its window."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from accounting.report_query import DIMENSIONS
from tests.browser.chromium import in_a_browser
from tests.browser.walking import faults_of
from tests.browser.watching import Watched

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
    "/usage/second-factor/",
    "/usage/teams/",
    "/usage/teams/alder/",
]
BY_HAND = [
    "/admin/",
    "/admin/first-steps/",
    "/admin/first-steps/?step=provider&kind=openrouter",
    "/admin/first-steps/?step=key",
    "/admin/explain/?key=1&alias=claude-sonnet-4-5",
    "/admin/password_change/",
    "/admin/routing/provider/1/history/",
    "/admin/routing/provider/1/delete/",
    "/admin/routing/transformation/preview/",
    "/admin/accounting/price/import/",
    "/admin/accounting/virtualkey/upload/",
    "/admin/accounting/virtualkey/rotate/?ids=1",
    "/admin/accounting/virtualkey/revoke/?ids=1",
    "/api/docs/",
]
MEMBERS = [
    "/usage/",
    "/usage/budgets/",
    "/usage/requests/",
    "/usage/live/",
    "/usage/playground/",
    "/usage/teams/alder/",
    "/usage/second-factor/",
]
"""What people of a team have of their own, who are shown less there than staff."""
DRAWN_LATE = {"/api/docs/": "#operations-tag-teams"}
"""What says that a page is whole which a script draws."""


def look_at(seen: Watched, path: str) -> Iterator[str]:
    """What is wrong with the page."""
    seen.open(path).wait_for_selector(DRAWN_LATE.get(path, "main, body"))
    yield from faults_of(seen.page)


@pytest.mark.parametrize("room", ["reports", "routing", "accounting", "others"])
def test_pages_are_sound(window, installation, room):
    found = installation.addresses
    [request] = found.pop("requests")
    paths = {
        "reports": [*REPORTS, request, f"{request}replay/"],
        "routing": found.pop("routing"),
        "accounting": found.pop("accounting"),
        "others": BY_HAND + [path for pages in found.values() for path in pages],
    }[room]
    seen = window()
    faults = [fault for path in paths for fault in look_at(seen, path)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", ["lead", "member"])
def test_pages_of_people_in_a_team_are_sound(window, name):
    seen = window(name)
    faults = [fault for path in MEMBERS for fault in look_at(seen, path)]
    assert not faults, "\n".join(faults)


def test_the_page_to_sign_in_at_is_sound(window):
    faults = list(look_at(window(""), "/usage/sign-in/"))
    assert not faults, "\n".join(faults)


def test_the_names_of_pages_are_one_line_at_a_desk(window):
    page = window().open("/usage/")
    rows = page.locator("nav.pages li").evaluate_all(
        "names => [...new Set(names.map((name) => name.offsetTop))]"
    )
    assert len(rows) == 1
