"""Tells what changed from one text of the configuration to another. Pure.

A unified diff, but for one entry after the other (a provider, an alias, a list of rules): entries look much alike, and a
diff of the whole text would find the beginning of one in the end of another. Each hunk is headed by its entry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

CONTEXT_LINES = 3
EXACT_LINES_MAX = 3000
"""Longer entries are compared in a way that is quicker and finds fewer lines that stayed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Lines that belong together; ``start`` counts the lines before them."""

    start: int
    lines: list[str]


def difference(old: str, new: str) -> list[str]:
    """The hunks, what is gone before what is there."""
    before, after = entries_of(old), entries_of(new)
    gone = [heading for heading in before if heading not in after]
    found: list[str] = []
    for heading in (*gone, *after):
        one = before.get(heading) or Entry(0, [])
        other = after.get(heading) or Entry(0, [])
        if one.lines != other.lines:
            found.extend(_hunks(heading, one, other))
    return found


def entries_of(text: str) -> dict[str, Entry]:
    """The entries of a text by their headings, such as ``providers: openrouter`` or ``transformations``."""
    entries: dict[str, Entry] = {}
    section = heading = ""
    is_list = False
    for number, line in enumerate(text.splitlines()):
        if line[:1] not in (" ", "-", ""):
            heading = section = line.partition(":")[0]
            is_list = False
        elif line[:1] == "-":
            is_list = True
        elif not is_list and line[:2] == "  " and line[2:3] not in (" ", "-", ""):
            heading = f"{section}: {line.strip().partition(': ')[0].rstrip(':')}"
        entries.setdefault(heading, Entry(number, [])).lines.append(line)
    return entries


def _hunks(heading: str, old: Entry, new: Entry) -> Iterator[str]:
    skipped = _same_at_the_beginning(old.lines, new.lines)
    left = _same_at_the_end(old.lines[skipped:], new.lines[skipped:])
    begin = max(0, skipped - CONTEXT_LINES)
    spare = max(0, left - CONTEXT_LINES)
    one = old.lines[begin : len(old.lines) - spare]
    other = new.lines[begin : len(new.lines) - spare]
    is_long = len(one) + len(other) > EXACT_LINES_MAX
    matcher = SequenceMatcher(None, one, other, autojunk=is_long)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        first, last = group[0], group[-1]
        yield (
            f"@@ -{_span(old.start + begin, first[1], last[2])} "
            f"+{_span(new.start + begin, first[3], last[4])} @@ {heading}"
        )
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in one[i1:i2])
                continue
            yield from (f"-{line}" for line in one[i1:i2])
            yield from (f"+{line}" for line in other[j1:j2])


def _span(before: int, begin: int, end: int) -> str:
    return f"{before + begin + 1},{end - begin}"


def _same_at_the_beginning(one: list[str], other: list[str]) -> int:
    count = 0
    for line, its_like in zip(one, other, strict=False):
        if line != its_like:
            break
        count += 1
    return count


def _same_at_the_end(one: list[str], other: list[str]) -> int:
    return _same_at_the_beginning(one[::-1], other[::-1])
