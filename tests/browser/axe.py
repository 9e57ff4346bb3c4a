"""Serious faults of accessibility, as axe-core finds them in a page."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text()
IS_THERE = "typeof axe !== 'undefined'"
RUN = """() => axe.run(document, {resultTypes: ["violations"], preload: false, iframes: false})
  .then((found) => found.violations.map(({id, impact, help, nodes}) => ({id, impact, help,
    nodes: nodes.map(({target, html}) => ({target: target.flat().join(" "), html}))})))"""
SERIOUS = ("serious", "critical")

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Rule and selector of what stays, with the reason."""
AT_REST = """() => document.getAnimations()
    .filter(each => each.effect.getComputedTiming().endTime !== Infinity).forEach(each => each.finish())"""
"""Half way from one colour to the other an element may lack the contrast that it has at both ends."""


def serious_faults(page: Page) -> list[str]:
    """One line for each element that breaks a rule; the policy of the page is in force meanwhile."""
    if not page.evaluate(IS_THERE):
        page.evaluate(SOURCE)
    page.evaluate(AT_REST)
    found: list[dict[str, Any]] = page.evaluate(RUN)
    return [
        f"{rule['id']} ({rule['help']}): {node['target']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if (rule["id"], node["target"]) not in EXCEPTIONS
    ]
