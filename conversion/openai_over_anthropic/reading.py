"""What the parts of a request's conversion share: the target's traits, the notes, the tools' names and ids."""

from typing import Any

from conversion.anthropic_over_openai.reading import as_object
from conversion.noting import Noting
from conversion.tool_ids import to_client
from conversion.traits import MessagesTraits

TOOL_NAME_CHARS_MAX = 64
"""Anthropic's page on tool use, read August 2026: ``^[a-zA-Z0-9_-]{1,64}$``."""

Block = dict[str, Any]


class Reading(Noting, kw_only=True):
    """One request on its way. ``binary_chars`` counts base64, which is no text to estimate tokens from.

    ``is_open_loop`` is found out with the turns: the last of them brings results of calls that were made without a thought
    before them, or goes on with the assistant's own words. A model with a budget for thoughts refuses both.
    """

    traits: MessagesTraits
    binary_chars: int = 0
    is_open_loop: bool = False
    _tool_ids: dict[str, int] = {}

    def tool_id(self, client_id: str) -> str:
        """A legal id for one call, unique in the request.

        Anthropic refuses an id that was used before, while servers exist that count from ``call_0`` in each answer.
        """
        first = legal = to_client(client_id)
        number = self._tool_ids.get(first, 0)
        while legal in self._tool_ids:
            number += 1
            legal = f"{first}_{number + 1}"
        self._tool_ids[first] = number  # so that the next one need not count from the beginning
        self._tool_ids.setdefault(legal, 0)
        return legal

    def with_cache_mark(self, block: Block, holder: dict[str, Any], path: str) -> Block:
        """The block with the holder's cache mark, if it has one."""
        mark = as_object(holder.get("cache_control"), f"{path}.cache_control".lstrip("."))
        if mark:
            block["cache_control"] = mark
            self.note_lifetime(mark)
        return block

    def text_block(self, text: str, holder: dict[str, Any], path: str) -> list[Block]:
        """The text as a block; none for white space alone, which Anthropic refuses as content."""
        if text.strip():
            return [self.with_cache_mark({"type": "text", "text": text}, holder, path)]
        if text:
            self.dropped_once("messages[].content", "a text of white space only is not taken")
        return []
