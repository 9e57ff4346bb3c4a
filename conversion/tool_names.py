"""Makes tool names legal for an upstream, so that the answer's calls find the client's tools again.

Both dialects take ``^[a-zA-Z0-9_-]{1,64}$`` (OpenAI's API reference and Anthropic's page on tool use, read August 2026).
Nothing is stored: a name is made from the client's own, the same in each request.
"""

from hashlib import sha256

HASH_CHARS = 8


class ToolNames:
    """The names of one request. ``client_names`` leads from those that were changed back to the client's."""

    def __init__(self, chars_max: int) -> None:
        self.client_names: dict[str, str] = {}
        self._upstream_names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._chars_max = chars_max

    def to_upstream(self, name: str) -> str:
        """The name the upstream is told: the client's, or a legal one made from it that can be traced back."""
        known = self._upstream_names.get(name)
        if known is not None:
            return known
        legal = name
        if len(name) > self._chars_max or not is_legal_name(name) or name in self.client_names:
            legal = self._alias(name)
            self.client_names[legal] = name
        self._upstream_names[name] = legal
        self._taken.add(legal)
        return legal

    def _alias(self, name: str) -> str:
        """The name's beginning and a hash of it: the same in each request, unless another tool is called just so."""
        head = "".join(char if is_legal_name(char) else "_" for char in name[: self._chars_max])
        salt = ""
        while True:
            mark = "_" + sha256((name + salt).encode()).hexdigest()[:HASH_CHARS]
            alias = head[: self._chars_max - len(mark)] + mark
            if alias not in self._taken:
                return alias
            salt += "+"


def is_legal_name(name: str) -> bool:
    """Whether both dialects take the name, but for its length."""
    return name.isascii() and all(char.isalnum() or char in "_-" for char in name) and bool(name)
