"""The dashboard and the alerts ask for figures that there are, with labels that they have."""

import json
import re
from pathlib import Path

import pytest
import yaml

from llmgateway import metrics

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "grafana"
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "")
LABELS_OF_ALL = {"instance", "job", "le"}


def expressions() -> list[str]:
    board = json.loads((FOLDER / "llmgateway.json").read_text())
    rules = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return asked


def known() -> dict[str, set[str]]:
    """Every figure that is told, with its labels."""
    return {
        name + suffix: set(collector._labelnames)
        for collector, names in metrics.registry._collector_to_names.items()
        for name in names
        for suffix in SUFFIXES
    }


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_is_told(expression):
    told = known()
    for name, selector in re.findall(r"(llmgateway_\w+)(\{[^}]*\})?", expression):
        assert name in told
        asked = set(re.findall(r"(\w+)\s*[=!]~?", selector))
        assert asked <= told[name] | LABELS_OF_ALL
    grouped = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    every_label = set().union(*told.values()) | LABELS_OF_ALL
    assert grouped <= every_label
    assert expression.count("(") == expression.count(")")


def test_no_panel_lies_on_another():
    panels = json.loads((FOLDER / "llmgateway.json").read_text())["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
