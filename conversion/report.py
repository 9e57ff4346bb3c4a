"""What a conversion did to one request: mapped, left out, never silent."""

from dataclasses import dataclass
from typing import Literal

import msgspec

NoteKind = Literal["mapped", "dropped"]
NOTES_MAX = 200
NOTE_CHARS_MAX = 200
"""Fields may have names of any length, and there may be any number of them: the client chose them."""
THE_REST = "..."


@dataclass(frozen=True, slots=True)
class Note:
    """One field that did not cross as it was. ``path`` is the client's own, such as ``tools[3].input_examples``."""

    kind: NoteKind
    path: str
    why: str


class Report(msgspec.Struct):
    """The notes of one attempt, in the order in which they came up; beyond ``NOTES_MAX``, one that says so."""

    notes: list[Note] = []

    def mapped(self, path: str, why: str) -> None:
        """Note a field that crossed with another meaning or a narrower value."""
        self._add("mapped", path, why)

    def dropped(self, path: str, why: str) -> None:
        """Note a field that did not cross at all."""
        self._add("dropped", path, why)

    def _add(self, kind: NoteKind, path: str, why: str) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.append(Note(kind, path[:NOTE_CHARS_MAX], why[:NOTE_CHARS_MAX]))
        elif len(self.notes) == NOTES_MAX:
            self.notes.append(Note(kind, THE_REST, "there are more such notes than are kept"))

    @property
    def dropped_paths(self) -> list[str]:
        """Paths of what was left out, without repetition, list positions folded to ``[]``, in order."""
        if not self.notes:
            return []
        seen: dict[str, None] = {}
        for note in self.notes:
            if note.kind == "dropped":
                seen[_without_positions(note.path)] = None
        return list(seen)


def _without_positions(path: str) -> str:
    head, *rest = path.split("[")
    return head + "".join("[]" + part.partition("]")[2] for part in rest)
