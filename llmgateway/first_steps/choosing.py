"""The step that chooses models: what the provider has, what is ticked at first, and the rows that are written.

What was told is asked anew when the choice is sent; names that nobody tells of are taken as they were entered.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from conversion.errors import GatewayError
from llmgateway import beginnings, model_sync
from llmgateway.beginnings import CLAUDE_NAMES, CLAUDE_PATTERN
from llmgateway.model_sync import Asked, NothingTold
from llmgateway.sync_words import FACT_WORDS
from routing import checks, versions
from routing.models import Deployment, Provider, RouteTarget
from routing.providers import KINDS
from routing.synchronisation import Told, What

SHOWN_MAX = 300
"""More boxes than Django takes fields in a form could not be sent."""
CHOSEN_MAX = 100
NAME_CHARS_MAX = 200
ALL_AT_FIRST = 10
"""A list of so many models is ticked whole."""
SAME, KEEP, MODEL = "same", "keep", "model:"
_CLAUDE = re.compile(
    r"(?:.*/)?claude-(?:(?P<before>\d+(?:[.-]\d{1,2})?)-)?(?P<family>sonnet|opus|haiku)"
    r"(?:-(?P<after>\d+(?:[.-]\d{1,2})?))?(?:-\d{8}|-latest)?"
)
_NAME = re.compile(r"[^\s{}]+")


class NamesWrong(Exception):
    """What was entered cannot be models' names; the message says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One model as the page offers it."""

    model: str
    facts: str
    price: tuple[object, object] | None
    is_ticked: bool
    is_there: bool


@dataclass(frozen=True, slots=True)
class Offered:
    """The models to choose from; ``more`` are those that there is no room for. ``problem`` is why there is no list."""

    choices: Sequence[Choice] = ()
    total: int = 0
    more: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was chosen. ``claude`` is SAME, KEEP, or MODEL with the name that Claude's names shall lead to."""

    models: tuple[str, ...]
    claude: str
    with_prices: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """The names that lead to the provider now, and those that lead elsewhere and were left so."""

    names: tuple[str, ...]
    taken: tuple[str, ...]


def offer(row: Provider, *, wanted: str = "") -> Offered:
    """The provider's models whose names hold the words wanted, those worth a tick first. Calls out."""
    asked, problem = _ask(row, ())
    if asked is None:
        return Offered(problem=problem)
    there = set(row.deployments.values_list("upstream_model", flat=True))
    ticked = set(suggested([told.model for told in asked.told]))
    words = wanted.lower().split()
    found = [
        told
        for told in asked.told
        if is_name(told.model) and all(word in told.model.lower() for word in words)
    ]
    found.sort(key=lambda told: (told.model not in ticked, "sonnet" not in told.model, told.model))
    return Offered(
        tuple(
            Choice(
                told.model,
                facts=_facts(told),
                price=_price(told),
                is_ticked=told.model in ticked and not there,
                is_there=told.model in there,
            )
            for told in found[:SHOWN_MAX]
        ),
        total=len(asked.told),
        more=max(0, len(found) - SHOWN_MAX),
    )


def _ask(row: Provider, models: Sequence[str]) -> tuple[Asked | None, str]:
    try:
        return asyncio.run(model_sync.ask(checks.picture_of(row), models)), ""
    except (GatewayError, NothingTold) as error:
        return None, str(getattr(error, "message", error))


def suggested(models: Sequence[str]) -> list[str]:
    """What is ticked at first: all of a short list, else the newest of each family of Claude, else the first."""
    if len(models) <= ALL_AT_FIRST:
        return list(models)
    newest: dict[str, tuple[tuple[int, ...], str]] = {}
    for model in models:
        found = _CLAUDE.fullmatch(model)
        if found is None:
            continue
        version = found["after"] or found["before"] or "0"
        numbers = tuple(int(part) for part in re.split(r"[.-]", version))
        newest[found["family"]] = max(newest.get(found["family"], ((), "")), (numbers, model))
    return [model for _version, model in newest.values()] or list(models[:1])


def _facts(told: Told) -> str:
    words = []
    context = told.facts.get("context_window_tokens")
    if isinstance(context, int):
        words.append(f"{context:,} tokens")
    words += [word for name, word in FACT_WORDS.items() if told.facts.get(name) is True]
    return ", ".join(words)


def _price(told: Told) -> tuple[object, object] | None:
    prices = told.prices
    if prices.prompt_usd_per_mtok is None or prices.completion_usd_per_mtok is None:
        return None
    return prices.prompt_usd_per_mtok, prices.completion_usd_per_mtok


def is_own_server(row: Provider) -> bool:
    """Whether the address is one of the own network: what the cost map says of a name there is another's price."""
    kind = KINDS.get(row.kind)
    host = urlsplit(row.base_url or (kind.base_url if kind else "")).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return bool(host) and "." not in host


def claude_ways(row: Provider, offered: Offered) -> list[tuple[str, str]]:
    """Where the names that Claude Code asks for may lead, the likeliest first: (value, label)."""
    ways = []
    if row.kind in CLAUDE_NAMES:
        ways.append((SAME, f"the same models at {row.slug}"))
    models = [(f"{MODEL}{each.model}", each.model) for each in offered.choices]
    keep = (KEEP, "where they lead now")
    return [keep, *ways, *models] if claude_leads_elsewhere(row) else [*ways, *models, keep]


def claude_leads_elsewhere(row: Provider) -> bool:
    """Whether the names of Claude lead to another provider that is not the demo."""
    targets = RouteTarget.objects.filter(route__alias__name=CLAUDE_PATTERN)
    return targets.exclude(deployment__provider__in=[row.pk, *_demos()]).exists()


def _demos() -> Iterable[int]:
    demos = [kind.name for kind in KINDS.values() if kind.is_demo]
    return Provider.objects.filter(kind__in=demos).values_list("pk", flat=True)


def is_name(text: str) -> bool:
    """Whether a model may be called so."""
    return len(text) <= NAME_CHARS_MAX and _NAME.fullmatch(text) is not None


def read_names(text: str) -> tuple[str, ...]:
    """Models' names, one to a line.

    Raises:
        NamesWrong: a line is none.
    """
    names = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    for name in names:
        if not is_name(name):
            raise NamesWrong(
                f"{name[:60]!r} is no model's name: one to a line, without blanks and braces."
            )
    return names


def choose(row: Provider, wish: Wish, *, author: str) -> Chosen:
    """Make deployments of the models and names that lead to them, and let Claude's names lead where they shall.

    Raises:
        NamesWrong: nothing was chosen, or too much.
    """
    claude_model = wish.claude.removeprefix(MODEL) if wish.claude.startswith(MODEL) else ""
    models = tuple(dict.fromkeys([*wish.models, *filter(None, [claude_model])]))
    if not models and wish.claude != SAME:
        raise NamesWrong("Choose at least one model, or enter its name.")
    if len(models) > CHOSEN_MAX:
        raise NamesWrong(
            f"Choose at most {CHOSEN_MAX} here. “Synchronise models” on the provider's page takes them all."
        )
    _note_facts(row, models, with_prices=wish.with_prices, author=author)
    with versions.changes_by(author, f"First steps: chose models of provider {row}."):
        leading = [(model, "exact", _deployment(row, model)) for model in models]
        if wish.claude == SAME:
            leading += [
                (pattern, match, _deployment(row, model))
                for pattern, match, model in CLAUDE_NAMES.get(row.kind, ())
            ]
        elif claude_model:
            leading.append((CLAUDE_PATTERN, "wildcard", _deployment(row, claude_model)))
        led = {name: beginnings.lead(name, match, to) for name, match, to in leading}
    return Chosen(
        tuple(name for name, is_led in led.items() if is_led),
        tuple(name for name, is_led in led.items() if not is_led),
    )


def _note_facts(row: Provider, models: Sequence[str], *, with_prices: bool, author: str) -> None:
    """What is told of the models, and their prices; nothing where nobody tells."""
    asked, _problem = _ask(row, models)
    if asked is None:
        return
    now = datetime.now(UTC)
    plan = model_sync.preview(row, asked, now=now, with_prices=with_prices)
    wanted = set(models)
    updates = [each for each in plan.updates if each.model in wanted and each.what is not What.GONE]
    model_sync.apply(row, updates, now=now, author=author)


def _deployment(row: Provider, model: str) -> Deployment:
    found = row.deployments.filter(upstream_model=model).order_by("pk").first()
    return found or Deployment.objects.create(provider=row, upstream_model=model)
