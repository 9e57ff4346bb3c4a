"""The order of chat messages: every result right behind the message that holds its call.

The Messages API joins turns of one role that follow each other, so calls may be spread over several assistant turns
and results over several user turns; here they are brought together. Each message is touched once, however many
there are: what stands behind the latest calls is held back until no more results can come, and assistant turns that
belong together are joined when the last of them is known.
"""

from typing import Any

Message = dict[str, Any]


class Conversation:
    """The messages of one request, in the making."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._held: list[Message] = []
        self._joining: list[Message] = []

    def add(self, message: Message) -> None:
        """Add a user's or a system message."""
        self._held.append(message)

    def add_results(self, results: list[Message]) -> None:
        """Add results behind the latest calls and the results that are there already, before what followed these."""
        self._join()
        if not (self._messages and _is_open(self._messages[-1])):
            self._release()  # results of no calls: for the upstream to refuse, in its words
        self._messages.extend(results)

    def add_assistant(self, message: Message) -> None:
        """Add an assistant's message, which becomes one with the calls that it directly follows."""
        if self._messages and not self._held and "tool_calls" in self._messages[-1]:
            self._joining.append(message)
            return
        self._join()
        self._release()
        self._messages.append(message)

    def all(self) -> list[Message]:
        """The messages in their order."""
        self._join()
        self._release()
        return self._messages

    def _release(self) -> None:
        self._messages.extend(self._held)
        self._held.clear()

    def _join(self) -> None:
        if self._joining:
            _join(self._messages[-1], self._joining)
            self._joining.clear()


def _is_open(message: Message) -> bool:
    """Whether results may follow."""
    return message["role"] == "tool" or "tool_calls" in message


def _join(first: Message, later: list[Message]) -> None:
    """Make one message of several assistant turns, so that no turn stands between calls and their results."""
    turns = [first, *later]
    for name in ("tool_calls", "reasoning_details"):
        lists = [turn[name] for turn in turns if name in turn]
        if lists:
            first[name] = [item for items in lists for item in items]
    thoughts = [turn["reasoning_content"] for turn in turns if "reasoning_content" in turn]
    if thoughts:
        first["reasoning_content"] = "".join(thoughts)
    contents = [turn["content"] for turn in turns if turn["content"]]
    if all(isinstance(content, str) for content in contents):
        first["content"] = "".join(contents) or None
        return
    first["content"] = [
        part
        for content in contents
        for part in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
    ]
