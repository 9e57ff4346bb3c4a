"""The dashboard and the alerts ask for figures that a gateway tells, with labels and values that these have.

Names, labels and values are those of the page of a real process to which all that figures tell of has happened.
"""

import asyncio
import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.upstream import (
    FakeUpstream,
    chat_answer,
    json_answer,
    stream_answer,
    text_stream,
    usage,
)
from tests.processes import ROOT, GatewayProcess, gateway_process
from tests.waiting import PATIENCE_S

FOLDER = ROOT / "deploy" / "grafana"
BOARD = json.loads((FOLDER / "llmgateway.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
JOB = "llmgateway"
ADDED = {"job", "instance"}
"""The labels that Prometheus adds, to all that it asks for."""
ASK = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Figure:
    """One figure: its type, and the values that each of its labels has."""

    type: str
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


Page = dict[str, Figure]


def read_page(text: str) -> Page:
    """Every figure that is told, by the name that an expression uses."""
    page: Page = {"up": Figure("gauge", {"job": {JOB}})}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            figure = page.setdefault(sample.name, Figure(family.type))
            for name, value in sample.labels.items():
                figure.labels[name].add(value)
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return read_page(asyncio.run(lived_through(tmp_path_factory.mktemp("figures"))))


async def lived_through(folder: Path) -> str:
    """/metrics of a gateway that has answered, streamed, tried again, failed and refused."""
    async with FakeUpstream() as upstream:
        with gateway_process(folder) as process:
            key = await asyncio.to_thread(start, process, upstream.url)
            cached = {**chat_answer("Hi"), "usage": usage(prompt_tokens_details=CACHED)}
            unpriced = {**chat_answer("Hi"), "usage": usage(cost=None)}
            no = json_answer({"error": {"message": "no"}}, status=503)
            upstream.answers(json_answer(cached), json_answer(unpriced), no, no, no)
            upstream.answers(json_answer(chat_answer("Hi")), stream_answer(text_stream("Hi")))
            async with httpx.AsyncClient(base_url=process.url, timeout=PATIENCE_S) as http:
                for body, secret, status in (
                    (ASK, key, 200),
                    (ASK, key, 200),  # unpriced
                    (ASK, key, 529),  # twice refused by the provider
                    (ASK, key, 200),  # at the second attempt
                    ({**ASK, "stream": True}, key, 200),
                    (ASK, "gw-wrong", 401),
                ):
                    headers = {"x-api-key": secret}
                    answer = await http.post("/v1/messages", json=body, headers=headers)
                    assert answer.status_code == status, answer.text
                return await told_of(http, attempts=7, requests=6)


CACHED = {"cached_tokens": 5, "cache_write_tokens": 2}


def start(process: GatewayProcess, url: str) -> str:
    """Have it serve, with a provider that is asked twice and has a limit; the key."""
    key = process.set_up(url)
    limit = "Provider.objects.update(retries_max=1, backoff_s=0, concurrent_max=5)"
    process.manage("shell", "-v0", "-c", f"from routing.models import Provider; {limit}")
    process.start()
    return key


async def told_of(http: httpx.AsyncClient, *, attempts: int, requests: int) -> str:
    """The page, once it tells of so many."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        text = (await http.get("/metrics")).text
        if (
            counted(text, "llmgateway_attempts_total"),
            counted(text, "llmgateway_requests_total"),
        ) == (attempts, requests):
            return text
        assert time.monotonic() < give_up_at, text
        await asyncio.sleep(0.05)


def counted(text: str, name: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


def labels_of(expression: str, page: Page) -> set[str]:
    """The labels that the result of an expression has.

    Raises:
        ValueError: it is no PromQL.
        AssertionError: it asks for what no gateway tells.
    """
    plain = expression.replace("$__rate_interval", "5m")
    labels = _labels(promql.parse(plain), page)
    assert labels is not None, "a number and nothing else"
    return labels


def _labels(part: Any, page: Page) -> set[str] | None:
    """As above; None for a number."""
    if isinstance(part, promql.NumberLiteral):
        return None
    if isinstance(part, promql.ParenExpr):
        return _labels(part.expr, page)
    if isinstance(part, promql.VectorSelector):
        return _selected(part, page)
    if isinstance(part, promql.AggregateExpr):
        inner = _labels(part.expr, page)
        kept = set(part.modifier.labels) if part.modifier else set()
        assert not part.modifier or part.modifier.type is promql.AggModifierType.By
        assert inner is not None
        assert kept <= inner, f"{kept - inner} is no label of {part.expr}"
        return kept
    if isinstance(part, promql.Call):
        return _called(part, page)
    assert isinstance(part, promql.BinaryExpr), part
    sides = [s for s in (_labels(part.lhs, page), _labels(part.rhs, page)) if s is not None]
    assert all(side == sides[0] for side in sides), f"sides with other labels never match: {part}"
    return sides[0]


def _selected(selector: Any, page: Page) -> set[str]:
    assert selector.name in page, f"no gateway tells {selector.name}"
    figure = page[selector.name]
    for matcher in selector.matchers.matchers:
        if matcher.value == "$instance":
            assert matcher.name == "instance"
            continue
        values = figure.labels.get(matcher.name, set())
        assert values, f"{matcher.name} is no label of {selector.name}"
        if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
            assert matcher.value in values, f"{matcher.name} is never {matcher.value}"
        else:
            assert re.compile(matcher.value)
    return set(figure.labels) | ADDED


def _called(call: Any, page: Page) -> set[str]:
    name = call.func.name
    if name == "histogram_quantile":
        labels = _labels(call.args[1], page)
        assert labels is not None
        assert "le" in labels, "a quantile is reckoned from buckets"
        return labels - {"le"}
    (ranged,) = call.args
    selector = ranged.vector_selector
    labels = _selected(selector, page)
    is_counter = page[selector.name].type in {"counter", "histogram"}
    # What was given up is told as a gauge, which several workers' sum needs; it only grows.
    assert name in {"rate", "increase"}
    assert is_counter or selector.name == "llmgateway_request_logs_dropped"
    return labels


TARGETS = [(panel, target) for panel in BOARD["panels"] for target in panel["targets"]]


def words_in(text: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, text))


@pytest.mark.processes
@pytest.mark.xdist_group("grafana")
class TestAgainstTheRealPage:
    """What the files ask for."""

    @pytest.mark.parametrize(
        ("panel", "target"), TARGETS, ids=[f"{p['id']}{t['refId']}" for p, t in TARGETS]
    )
    def test_a_panel_asks_for_what_is_told(self, page: Page, panel, target):
        labels = labels_of(target["expr"], page)
        assert words_in(target["legendFormat"], r"\{\{(\w+)\}\}") <= labels, panel["title"]

    @pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
    def test_an_alert_asks_for_what_is_told(self, page: Page, rule):
        labels = labels_of(rule["expr"], page)
        told = " ".join(rule["annotations"].values())
        assert words_in(told, r"\$labels\.(\w+)") <= labels

    def test_what_the_dashboard_can_be_narrowed_to_is_told(self, page: Page):
        queries = [v["query"]["query"] for v in BOARD["templating"]["list"] if v["type"] == "query"]
        (query,) = queries
        name, label = words_of_label_values(query)
        assert label in labels_of(name, page)

    @pytest.mark.parametrize(
        "wrong",
        [
            "llmgateway_attempts",
            "llmgateway_attempts_total_bucket",
            "llmgateway_requests_under_way_total",
            "llmgateway_tokens_sum",
            "llmgateway_ttft_seconds",
            'llmgateway_attempts_total{model="m"}',
            'llmgateway_attempts_total{status="broken"}',
            "sum by (team) (llmgateway_attempts_total)",
            "sum by (error) (sum by (status) (llmgateway_attempts_total))",
            "histogram_quantile(0.5, sum(rate(llmgateway_ttft_seconds_bucket[5m])))",
            "rate(llmgateway_requests_under_way[5m])",
            "sum by (provider) (llmgateway_attempts_total) / sum(llmgateway_attempts_total)",
            'up{job="gateway"}',
            "sum(rate(llmgateway_attempts_total))",
            "sum(llmgateway_attempts_total[5m])",
            "sum by error (llmgateway_attempts_total)",
            "sum(llmgateway_attempts_total))(",
        ],
    )
    def test_what_is_wrong_is_noticed(self, page: Page, wrong):
        with pytest.raises((AssertionError, ValueError)):
            labels_of(wrong, page)

    def test_every_figure_that_is_told_is_documented(self, page: Page):
        text = (ROOT / "docs" / "operators" / "observability.md").read_text()
        for name in page:
            if not name.startswith("llmgateway_"):
                continue
            told = re.sub(r"_(bucket|count|sum|created)$", "", name)
            last = told.rpartition("_")[2]
            assert told in text or f"`_{last}`" in text, told


def words_of_label_values(query: str) -> tuple[str, str]:
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
    assert found
    return found[1], found[2]


def test_the_job_that_alerts_look_for_is_the_documented_one():
    text = (ROOT / "docs" / "operators" / "observability.md").read_text()
    (example,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", text, re.DOTALL)
    (job,) = yaml.safe_load(example)["scrape_configs"]
    assert job["job_name"] == JOB
    assert job["static_configs"][0]["targets"]
    assert any(f'job="{JOB}"' in rule["expr"] for rule in RULES)


def test_no_panel_lies_on_another():
    taken = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_no_number_of_a_panel_is_given_twice():
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))
