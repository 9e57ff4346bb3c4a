"""What the readers of a request share in every pair: the notes, each once, and legal names for tools."""

from typing import Any

import msgspec

from conversion.report import Report
from conversion.tool_names import ToolNames


class Noting(msgspec.Struct, kw_only=True):
    """One request on its way. ``names`` are the tools' at the target.

    ``one_hour_asked`` once a cache mark was passed on that asks for an hour.
    """

    report: Report
    names: ToolNames
    one_hour_asked: bool = False
    _noted: set[str] = set()

    def dropped_once(self, path: str, why: str) -> None:
        """Note something that may be there a hundred times, once."""
        if path not in self._noted:
            self._noted.add(path)
            self.report.dropped(path, why)

    def mapped_once(self, path: str, why: str) -> None:
        """As ``dropped_once``, for what crossed in another form."""
        if path not in self._noted:
            self._noted.add(path)
            self.report.mapped(path, why)

    def note_lifetime(self, mark: Any) -> None:
        """Remember how long a cache mark that is passed on asks to be kept."""
        if isinstance(mark, dict) and mark.get("ttl") == "1h":
            self.one_hour_asked = True

    def tool_name(self, name: str) -> str:
        """The name the upstream is told: the client's, or a legal one made from it that can be traced back."""
        legal = self.names.to_upstream(name)
        if legal != name:
            self.mapped_once(
                "tools[].name", "made shorter or legal for this target, and restored in the answer"
            )
        return legal
