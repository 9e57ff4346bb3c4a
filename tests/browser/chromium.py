"""The browser of this machine: skipped where there is none, unless it is said to be there."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """The program: what CHROMIUM names, or else the first that is on the PATH; empty where there is none."""
    named = os.environ.get("CHROMIUM", "")
    return named or next((path for name in NAMES if (path := shutil.which(name))), "")


needs_chromium = pytest.mark.skipif(
    os.environ.get("GATEWAY_TEST_SERVICES") != "required" and not find_chromium(),
    reason="No Chromium is on the PATH, and CHROMIUM names none; GATEWAY_TEST_SERVICES=required makes this a failure.",
)
in_a_browser = [
    needs_chromium,
    pytest.mark.processes,
    pytest.mark.timeout(600),
]
"""What each module of this room is marked with: one gateway and one browser at a time serve them all."""
DESK, PHONE = ("desktop", "light"), ("phone", "dark")
both = pytest.mark.parametrize(("size", "scheme"), [DESK, PHONE], ids=["desktop", "phone"])
"""How people look at a page: at a desk in the light, with a phone in the dark."""
at_a_desk = pytest.mark.parametrize(("size", "scheme"), [DESK], ids=["desktop"])
on_a_phone = pytest.mark.parametrize(("size", "scheme"), [PHONE], ids=["phone"])
