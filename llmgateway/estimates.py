"""What a request would take at a target, before it is sent: prompt tokens by the local tokenizer, and their cost."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from accounting import snapshot as keys_snapshot
from accounting.pricing import cost_of
from conversion.call import Call
from conversion.counting import count_prompt
from conversion.dialects import Dialect
from conversion.needs import count_images
from conversion.usage import Usage
from llmgateway.explained import Estimate
from llmgateway.tokenizer import count_tokens
from routing.pictures import Target

ANSWER_TOKENS = 500
"""How long an answer is taken to be before it is there: where costs are compared, and tokens of a minute counted."""


def estimate(call: Call, target: Target, now: datetime) -> Estimate:
    """Tokens and cost of the call at the target, by the price in force at that moment. Blocks: the tokenizer takes time."""
    tag = keys_snapshot.current().price_at(target.provider.slug, target.upstream_model, now)
    prompt = prompt_tokens_of(call, target.upstream_model)
    answer = 0 if call.dialect is Dialect.OPENAI_EMBEDDINGS else ANSWER_TOKENS
    most = call.max_output_tokens
    answer = answer if most is None else min(answer, most)
    images = count_images(call.body)
    cost = cost_of(Usage(prompt_tokens=prompt, completion_tokens=answer), tag, images=images)
    longest = cost_of(Usage(prompt_tokens=prompt, completion_tokens=most), tag, images=images)
    return Estimate(prompt, answer, cost.amount_usd, longest.amount_usd, cost.source)


def prompt_tokens_of(call: Call, upstream_model: str) -> int:
    """The tokens of the call's prompt, in any client dialect."""
    body = call.body
    if call.dialect is Dialect.OPENAI_COMPLETIONS:
        return _text_tokens(body.get("prompt"))
    if call.dialect is Dialect.OPENAI_EMBEDDINGS:
        return _text_tokens(body.get("input"))
    is_claude = "claude" in call.alias.lower() or "claude" in upstream_model.lower()
    if call.dialect is Dialect.ANTHROPIC_MESSAGES:
        return count_prompt(body, is_claude=is_claude, count=count_tokens)
    told = {"messages": body.get("messages"), "tools": list(_tools(body))}
    return count_prompt(told, is_claude=is_claude, count=count_tokens) + _call_tokens(body)


def _text_tokens(value: Any) -> int:
    """The tokens of a text, of a list of texts, or of one of numbers, which are tokens already."""
    if isinstance(value, str):
        return count_tokens(value)
    if isinstance(value, list):
        return sum(1 if isinstance(item, int) else _text_tokens(item) for item in value)
    return 0


def _tools(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """OpenAI's functions in the shape of Anthropic's tools, which is what is counted."""
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            told = {name: function[name] for name in ("name", "description") if name in function}
            yield {**told, "input_schema": function.get("parameters") or {}}


def _call_tokens(body: dict[str, Any]) -> int:
    """The tokens of calls that assistant messages repeat."""
    messages = body.get("messages")
    calls = (
        message["tool_calls"]
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and message.get("tool_calls")
    )
    return sum(count_tokens(orjson.dumps(call).decode()) for call in calls)
