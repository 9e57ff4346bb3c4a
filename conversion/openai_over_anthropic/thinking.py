"""How much the model is asked to think: ``reasoning_effort``, or OpenRouter's ``reasoning`` object.

OpenAI's clients say a level. Newer models take it as an effort and think as they find fit; older ones want a budget of
tokens, which is part of ``max_tokens`` and at least 1024 (Anthropic's pages on extended and adaptive thinking, August 2026).
"""

from dataclasses import dataclass
from typing import Any

from conversion.anthropic_over_openai.reading import as_object
from conversion.anthropic_over_openai.thinking import (
    ALL_EFFORTS,
    BUDGET_LOW_MAX,
    BUDGET_MEDIUM_MAX,
    BUDGET_MIN,
)
from conversion.errors import RequestInvalid
from conversion.openai_over_anthropic.reading import Reading

BUDGETS = {
    "minimal": BUDGET_MIN,
    "low": BUDGET_LOW_MAX,
    "medium": BUDGET_MEDIUM_MAX,
    "high": 16384,
    "xhigh": 32768,
    "max": 32768,
}
"""A budget for each effort, so that the way back (``anthropic_over_openai.thinking``) finds the same effort."""
BUDGET_PATH = "reasoning.max_tokens"
LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
MEMBERS = frozenset({"effort", "max_tokens", "enabled", "exclude"})


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the client wants; ``path`` is where it says so. ``is_off`` when it wants no thinking at all."""

    path: str
    effort: str | None = None
    budget: int | None = None
    is_off: bool = False
    is_shown: bool | None = None


def write_thinking(body: dict[str, Any], request: dict[str, Any], reading: Reading) -> bool:
    """Put the wish to think into the request; whether the model is asked to.

    Reads ``max_tokens`` and ``tool_choice`` of the request, and may raise the former.
    """
    wish = _read_wish(body, reading)
    if wish is None:
        return False
    way = reading.traits.thinking
    if way == "none":
        if not wish.is_off:
            reading.report.dropped(wish.path, "this target is not asked to think")
        return False
    if wish.is_off:
        request["thinking"] = {"type": "disabled"}
        return False
    if way == "adaptive":
        _write_adaptive(wish, request, reading)
        return True
    return _write_budget(wish, body, request, reading)


def _read_wish(body: dict[str, Any], reading: Reading) -> _Wish | None:
    effort = _effort(body.get("reasoning_effort"), "reasoning_effort")
    if body.get("reasoning") is None:
        if effort is None:
            return None
        return _Wish("reasoning_effort", effort=effort, is_off=effort == "none")
    given = as_object(body["reasoning"], "reasoning")
    for name, value in given.items():
        if name not in MEMBERS and value is not None:
            reading.report.dropped(f"reasoning.{name}", "thinking has no such setting")
    own = _effort(given.get("effort"), "reasoning.effort")
    budget = _budget(given.get("max_tokens"))
    if effort is not None and (own, budget) != (None, None):
        reading.report.dropped("reasoning_effort", "reasoning says it already")
        effort = None
    path = "reasoning_effort" if effort else "reasoning"
    effort = own or effort
    enabled, exclude = (
        _flag(given.get(name), f"reasoning.{name}") for name in ("enabled", "exclude")
    )
    if enabled is None and effort is None and budget is None:
        if exclude:
            reading.report.dropped("reasoning.exclude", "thinking is not asked for")
        return None
    return _Wish(
        path,
        effort=effort,
        budget=budget,
        is_off=enabled is False or effort == "none",
        is_shown=not exclude,
    )


def _effort(value: Any, path: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in ALL_EFFORTS:
        words = ", ".join(f"'{word}'" for word in ALL_EFFORTS)
        raise RequestInvalid(f"Input should be one of {words}", path=path)
    return value


def _budget(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RequestInvalid("Input should be a positive integer", path=BUDGET_PATH)
    return value


def _flag(value: Any, path: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise RequestInvalid("Input should be a valid boolean", path=path)
    return value


def _write_adaptive(wish: _Wish, request: dict[str, Any], reading: Reading) -> None:
    thinking: dict[str, Any] = {"type": "adaptive"}
    if wish.is_shown is not None:
        # The newest models show nothing unless asked to, and OpenRouter's clients expect to see the thoughts.
        thinking["display"] = "summarized" if wish.is_shown else "omitted"
    request["thinking"] = thinking
    effort = wish.effort
    if effort is None and wish.budget is not None:
        effort = _level(wish.budget)
        reading.report.mapped(BUDGET_PATH, f"{wish.budget} tokens are sent as effort {effort}")
    elif wish.budget is not None:
        reading.report.dropped(BUDGET_PATH, "the effort is told already")
    known = effort and _known(effort, wish, reading)
    if known:
        request.setdefault("output_config", {})["effort"] = known


def _level(budget: int) -> str:
    if budget <= BUDGET_LOW_MAX:
        return "low"
    return "medium" if budget <= BUDGET_MEDIUM_MAX else "high"


def _known(effort: str, wish: _Wish, reading: Reading) -> str | None:
    """The effort, or the strongest one known that is weaker; the weakest where none is. None where none is known."""
    known = reading.traits.efforts
    if effort in known:
        return effort
    path = wish.path if wish.path == "reasoning_effort" else "reasoning.effort"
    if not known:
        reading.report.dropped(path, "this target takes no effort")
        return None
    rank = ALL_EFFORTS.index(effort)
    weaker = [name for name in known if name in ALL_EFFORTS and ALL_EFFORTS.index(name) < rank]
    chosen = weaker[-1] if weaker else known[0]
    reading.report.mapped(path, f"{effort} is not known here; {chosen} is asked for")
    return chosen


def _write_budget(
    wish: _Wish, body: dict[str, Any], request: dict[str, Any], reading: Reading
) -> bool:
    why = _why_not(request, reading)
    if why:
        reading.report.dropped(wish.path, why)
        return False
    budget = wish.budget
    if budget is None:
        budget = BUDGETS[wish.effort or "medium"]
        if LIMITS.intersection(name for name, value in body.items() if value is not None):
            # Leave room for the answer before more is asked for than the client said.
            budget = min(budget, max(BUDGET_MIN, request["max_tokens"] * 4 // 5))
    budget = _fit(max(budget, BUDGET_MIN), request, reading)
    if budget is None:
        reading.report.dropped(wish.path, "no budget for thoughts fits into the limit of tokens")
        return False
    request["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if wish.is_shown is False:
        request["thinking"]["display"] = "omitted"
    _note_budget(budget, wish, reading)
    return True


def _note_budget(budget: int, wish: _Wish, reading: Reading) -> None:
    if wish.budget is None:
        reading.report.mapped(wish.path, f"sent as a budget of {budget} tokens")
        return
    if wish.budget != budget:
        reading.report.mapped(
            BUDGET_PATH, f"changed from {wish.budget} to {budget}, to fit the limits"
        )
    if wish.effort is not None:
        reading.report.dropped("reasoning.effort", "the budget is told already")


def _why_not(request: dict[str, Any], reading: Reading) -> str:
    """Why thinking with a budget cannot be asked for, if it cannot."""
    if request.get("tool_choice", {}).get("type") in ("any", "tool"):
        return "a model with a budget for thoughts cannot be made to call a tool"
    if reading.is_open_loop:
        return "the last turn goes on without the thoughts that began it"
    return ""


def _fit(budget: int, request: dict[str, Any], reading: Reading) -> int | None:
    """A budget below ``max_tokens``, which is raised by as much as the model allows; None where none fits."""
    limit: int = request["max_tokens"]
    if budget < limit:
        return budget
    most = reading.traits.max_output_tokens
    raised = budget + limit if most is None else min(budget + limit, most)
    fitting = min(budget, max(BUDGET_MIN, raised * 4 // 5))
    if fitting >= raised:
        return None
    if raised > limit:
        reading.report.mapped(
            "max_completion_tokens", f"raised from {limit} to {raised}, to hold the thoughts"
        )
        request["max_tokens"] = raised
    return fitting
