"""What an address asks of the report pages, and the daily sums that answer it for whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, Q, QuerySet

from accounting.models import DailyUsage
from accounting.periods import PRESETS, Period, preset_period, read_period
from accounting.principals import Principal

Row = TypeVar("Row", bound=Model)
WORD_CHARS_MAX = 256
NONE = "(none)"
"""What stands in an address for rows that have no such word."""
LITELLM_KINDS = ("litellm_proxy", "litellm_sdk")
LITELLM, DIRECT = "litellm", "direct"


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that usage is told apart by. ``columns`` identify a row; the last one is compared by a filter."""

    name: str
    label: str
    plural: str
    columns: tuple[str, ...]
    is_in_latencies: bool = False

    @property
    def column(self) -> str:
        """The column that a filter compares."""
        return self.columns[-1]


_ALL = (
    Dimension("team", "Team", "teams", ("team",), is_in_latencies=True),
    Dimension("project", "Project", "projects", ("team", "project")),
    Dimension("key", "API key", "API keys", ("team", "key_id")),
    Dimension("member", "Member", "members", ("member",)),
    Dimension("developer", "Developer", "developers", ("end_user",)),
    Dimension("model", "Model", "models", ("upstream_model",), is_in_latencies=True),
    Dimension("alias", "Asked for", "names asked for", ("alias",)),
    Dimension("provider", "Provider", "providers", ("provider",), is_in_latencies=True),
    Dimension("kind", "Provider kind", "provider kinds", ("provider_kind",), is_in_latencies=True),
    Dimension("agent", "Agent", "agents", ("agent",)),
    Dimension("tag", "Tag", "tags", ("tags",)),
    Dimension("session", "Session", "sessions", ("session",)),
)
DIMENSIONS = {dimension.name: dimension for dimension in _ALL}
"""By the name that stands in addresses; the request log understands the same names."""
PATHS = {LITELLM: "through LiteLLM", DIRECT: "direct"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A period, and the words that rows are narrowed to, by dimension."""

    period: Period
    words: Mapping[str, str]

    def query(self, *, without: str = "", **words: str) -> str:
        """The query of an address that asks for this, with and without some words; empty when there is nothing to say."""
        left = {name: word for name, word in {**self.words, **words}.items() if name != without}
        query = {**self.period.query, **left}
        return f"?{urlencode(query)}" if query else ""

    def in_period(self, period: Period) -> "Ask":
        """The same words in another period."""
        return Ask(period, self.words)

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """For each word its label, itself, and the query without it."""
        return [
            (label_of(name), PATHS.get(word, word), self.query(without=name) or "?")
            for name, word in self.words.items()
        ]


def label_of(name: str) -> str:
    """What pages call a filter."""
    return DIMENSIONS[name].label if name in DIMENSIONS else name.capitalize()


def read_ask(query: Mapping[str, str], *, today: date) -> Ask:
    """The question that an address asks; what cannot be read is as if it were not there."""
    words = {}
    for name in (*DIMENSIONS, "path"):
        word = query.get(name, "").strip().replace("\0", "")[:WORD_CHARS_MAX]
        if not word or (name == "key" and not _is_number(word)):
            continue
        if name == "path" and word not in PATHS:
            continue
        words[name] = word
    return Ask(read_period(query, today=today), words)


def presets(ask: Ask, *, today: date) -> list[tuple[str, str, bool]]:
    """For each named period its name, the query that asks for it, and whether it is what is shown."""
    return [
        (
            label,
            ask.in_period(preset_period(name, today=today)).query() or "?",
            name == ask.period.preset,
        )
        for name, label in PRESETS.items()
    ]


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and int(word[:20]) < 2**63


def words_filter(words: Mapping[str, str]) -> Q:
    """Narrows rows that have the ledger's words to those asked for."""
    wanted = Q()
    for name, word in words.items():
        if name == "path":
            by_kind = Q(provider_kind__in=LITELLM_KINDS)
            wanted &= by_kind if word == LITELLM else ~by_kind
        elif name == "tag":
            wanted &= Q(tags="") if word == NONE else Q(tags__contains=f",{word},")
        else:
            wanted &= Q(**{DIMENSIONS[name].column: "" if word == NONE else word})
    return wanted


def rows_of(ask: Ask, principal: Principal, rows: "QuerySet[Row]") -> "QuerySet[Row]":
    """Those daily rows that the question is about and that may be seen."""
    period = ask.period
    return rows.filter(
        principal.filter(), words_filter(ask.words), on__gte=period.from_on, on__lte=period.to_on
    )


def usage_of(ask: Ask, principal: Principal) -> QuerySet[DailyUsage]:
    """The daily sums behind a report."""
    return rows_of(ask, principal, DailyUsage.objects.order_by())


def log_query(ask: Ask) -> str:
    """The query that asks the request log for the requests behind a report; empty where it cannot be asked."""
    if NONE in ask.words.values() or "path" in ask.words:
        return ""
    days = {"from": str(ask.period.from_on), "to": str(ask.period.to_on)}
    return f"?{urlencode({**ask.words, **days})}"


def own_words(names: Dimension, values: tuple[Any, ...]) -> dict[str, str]:
    """The words that narrow a report to one row of a breakdown."""
    words = {}
    for column, value in zip(names.columns, values, strict=True):
        name = names.name if column == names.column else column
        words[name] = str(value) if value != "" else NONE
    return words
