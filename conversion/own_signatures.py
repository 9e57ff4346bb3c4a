"""Takes the gateway's own signatures out of a Messages request for an upstream that speaks Messages itself.

A converted answer carries its upstream's reasoning in signatures and data of the gateway's making (``reasoning.py``). Where
the conversation goes on at a Claude, after a fallback or a change of model, they would be refused as made up (trap 27), in
this request and in each that follows. What Anthropic signed, and OpenRouter handed on, is inside and becomes Anthropic's
own block again; all else is left out.
"""

from typing import Any

from conversion.anthropic_over_openai.thinking import CLAUDE_FORMAT
from conversion.call import Call
from conversion.dialects import Dialect
from conversion.openai_over_anthropic.thoughts import read_thoughts
from conversion.openai_over_anthropic.turns import THOUGHTS
from conversion.reasoning import is_ours, unpack_details
from conversion.report import Report

Block = dict[str, Any]

SEALS = {"thinking": "signature", "redacted_thinking": "data"}
CLEAR_THINKING = "clear_thinking_"
"""How edits of a context are called that Anthropic refuses without thinking (anthropics/claude-code#11971)."""


def without_own_signatures(call: Call, report: Report) -> dict[str, Any]:
    """The members of the request that have to change, as they are to be; none as a rule.

    To walk the turns takes a microsecond where a conversation begins; to search the bytes of its tools takes ninety.
    """
    if call.dialect is not Dialect.ANTHROPIC_MESSAGES:
        return {}
    messages = call.body["messages"]
    if not any(map(_holds_own, messages)):
        return {}
    left_out: dict[str, None] = {}
    turns: list[Any] = []
    for turn in messages:
        new = _without_own(turn, left_out) if _holds_own(turn) else turn
        if new is turn or new["content"]:
            turns.append(new)
    for kind in left_out:
        report.dropped(
            f"messages[].content[].{kind}", "not signed by Anthropic, which would refuse it"
        )
    changes: dict[str, Any] = {"messages": turns}
    thinking = call.body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and _is_open_loop(turns):
        # A model with a budget must have begun the turn that the results go on with by a thought.
        changes["thinking"] = {"type": "disabled"}
        report.dropped("thinking", "the last turn goes on without the thoughts that began it")
        changes |= _without_clearing(call.body.get("context_management"))
    return changes


def _holds_own(turn: Any) -> bool:
    content = turn.get("content") if isinstance(turn, dict) else None
    return isinstance(content, list) and any(map(_is_own, content))


def _without_own(turn: Block, left_out: dict[str, None]) -> Block:
    """The turn with what Anthropic signed; ``left_out`` learns which types of blocks were."""
    blocks: list[Any] = []
    for block in turn["content"]:
        originals = _originals(block) if _is_own(block) else [block]
        if not originals:
            left_out[block["type"]] = None
        blocks += originals
    return {**turn, "content": blocks}


def _is_own(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    seal = block.get(SEALS[kind]) if isinstance(kind, str) and kind in SEALS else None
    return isinstance(seal, str) and is_ours(seal)


def _originals(block: Block) -> list[Block]:
    """The blocks that Anthropic made, out of one that the gateway made of them; none if they are another's."""
    text = block.get("thinking")
    shown = text if isinstance(text, str) else ""
    details = unpack_details(block[SEALS[block["type"]]], thinking=shown) or []
    thoughts = read_thoughts([entry for entry in details if entry.get("format") == CLAUDE_FORMAT])
    return [thought for thought in thoughts if thought is not None]


def _is_open_loop(turns: list[Any]) -> bool:
    """Whether the last turn brings results of calls before which no thought is left."""
    first_blocks = [_first_block(turn) for turn in turns[-2:]]
    return (
        len(first_blocks) == 2
        and first_blocks[1].get("type") == "tool_result"
        and first_blocks[0].get("type") not in THOUGHTS
    )


def _first_block(turn: Any) -> Block:
    content = turn.get("content") if isinstance(turn, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    return first if isinstance(first, dict) else {}


def _without_clearing(management: Any) -> dict[str, Any]:
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(edits, list):
        return {}
    left = [edit for edit in edits if not _clears_thinking(edit)]
    return {"context_management": {**management, "edits": left} if left else None}


def _clears_thinking(edit: Any) -> bool:
    return isinstance(edit, dict) and str(edit.get("type")).startswith(CLEAR_THINKING)
