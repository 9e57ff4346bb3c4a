"""An explanation as text for a terminal, and as JSON."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from textwrap import indent
from typing import Any

import orjson

from llmgateway.explained import AppliedEdit, Estimate, ExplainedTarget, Explanation, Refusal


def to_json(explanation: Explanation) -> str:
    """Every value, by the names of the fields."""
    return orjson.dumps(explanation, default=_plain, option=orjson.OPT_INDENT_2).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError


def to_text(explanation: Explanation) -> str:
    """All of it, to be read from top to bottom."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(told: Explanation) -> Iterator[str]:
    for remark in told.remarks:
        yield f"Note: {remark}"
    yield from _listed("Steps", [f"{n}. {step}" for n, step in enumerate(told.steps, 1)])
    if told.refusal:
        yield from _listed("Nothing would be sent", [refusal_words(told.refusal)])
    for target in told.targets:
        yield from _target_lines(target)
    yield from _listed("Not chosen", told.passed_over)
    flags = [f"{flag.name}: {'on' if flag.is_on else 'off'}" for flag in told.flags]
    yield from _listed("Feature flags for this caller", flags)
    yield f"\nRouting configuration: version {told.snapshot_number}."


def _listed(heading: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"\n{heading}"
        yield from (indent(line, "  ") for line in lines)


def _target_lines(target: ExplainedTarget) -> Iterator[str]:
    yield f"\nTarget {target.number}: {target.provider} ({target.kind}), {target.upstream_model}"
    facts = [
        f"Dialect: {target.dialect}",
        f"State: {target.state}",
        f"Credential: {target.credential}",
        f"Estimate: {estimate_words(target.estimate)}",
        *target.policy,
        *(f"Header rule: {rule}" for rule in target.header_rules),
        *(f"Transformation: {edit_words(edit)}" for edit in target.edits),
        *(f"Conversion {note.kind} {note.path}: {note.why}" for note in target.notes),
    ]
    if not target.is_reached:
        facts.insert(0, "Not reached: a target before it ends the request.")
    yield from (f"  {fact}" for fact in facts)
    if target.refusal:
        yield f"  Cannot take the request: {refusal_words(target.refusal)}"
    if target.request:
        yield indent(target.request.text, "    ", lambda _line: True)


def refusal_words(refusal: Refusal) -> str:
    """Why nothing is sent, and what the client gets."""
    return f"{refusal.message} ({refusal.error}, status {refusal.status})"


def estimate_words(estimate: Estimate) -> str:
    """Tokens and cost, or that there is no price."""
    tokens = f"about {estimate.prompt_tokens:,} prompt tokens"
    if estimate.cost_usd is None:
        return f"{tokens}; {estimate.source}"
    cost = f"{tokens}; {usd(estimate.cost_usd)} with an answer of {estimate.answer_tokens:,} tokens"
    if estimate.most_usd is not None:
        cost += f", {usd(estimate.most_usd)} with the longest one allowed"
    return f"{cost} (source: {estimate.source.replace('_', ' ')})"


def usd(amount: Decimal) -> str:
    """An amount with as many digits as it takes to tell it from nothing."""
    return f"${amount:.6f}" if amount < 1 else f"${amount:.2f}"


def edit_words(edit: AppliedEdit) -> str:
    """A transformation and whether it does something here."""
    if edit.has_effect is None:
        return f"{edit.label}, on the {edit.direction}"
    return f"{edit.label}, on the {edit.direction}: {'changes it' if edit.has_effect else 'finds nothing to change'}"
