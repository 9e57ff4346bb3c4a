"""Many keys at once: reads a CSV file of wishes, makes the keys, and writes a CSV file with their secrets.

All of a file is read before anything is made: a file with a fault makes no key. Nothing here stores a secret or a file.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounting import keys
from accounting.key_words import KeyReader, KeyWords
from accounting.keys import MintedKey
from accounting.models import VirtualKey
from accounting.tables import inert

NEEDED = ("team", "name")
COLUMNS = (*NEEDED, "project", "owner", "expires", "aliases", "rpm", "tpm", "concurrent")
MADE_COLUMNS = ("team", "name", "project", "owner", "expires", "key")
LINES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a line; 1 is that of the headings."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that a line asks for; its row has no secret and is not saved."""

    line: int
    row: VirtualKey


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a file asks for. Keys are to be made only where there is no fault."""

    wanted: Sequence[Wanted]
    faults: Sequence[Fault]


def read(text: str, *, now: datetime) -> KeyFile:
    """The keys that a file asks for, and all that is wrong with it."""
    try:
        return _read(text, now=now)
    except csv.Error as error:
        return KeyFile((), (Fault(1, f"This is no CSV: {error}."),))


def _read(text: str, *, now: datetime) -> KeyFile:
    table = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    headings = [cell.strip().lower() for cell in next(table, [])]
    faults = list(_faults_of_headings(headings))
    if faults:
        return KeyFile((), faults)
    reader, wanted = KeyReader(now=now), []
    for cells in table:
        line = table.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(headings):
            faults.append(Fault(line, f"{len(cells)} cells, but {len(headings)} headings"))
            continue
        row, problems = reader.read(_words(dict(zip(headings, cells, strict=False))))
        faults += [Fault(line, problem) for problem in problems]
        if row is not None:
            wanted.append(Wanted(line, row))
        if len(wanted) > LINES_MAX:
            faults.append(Fault(line, f"More than {LINES_MAX} keys: make several files of it."))
            break
    if not wanted and not faults:
        faults.append(Fault(1, "There is no key in this file."))
    return KeyFile(wanted, faults)


def _faults_of_headings(headings: Sequence[str]) -> Iterator[Fault]:
    missing = [name for name in NEEDED if name not in headings]
    if missing:
        known = ", ".join(COLUMNS)
        yield Fault(
            1, f"The first line must name the columns ({known}); {', '.join(missing)} is missing."
        )
    for name in dict.fromkeys(headings):
        if name not in COLUMNS:
            yield Fault(1, f"There is no column {name!r}; known are {', '.join(COLUMNS)}.")
        elif headings.count(name) > 1:
            yield Fault(1, f"The column {name!r} stands here twice.")


def _words(cells: dict[str, str]) -> KeyWords:
    texts = {name: cell.strip() for name, cell in cells.items() if name != "aliases"}
    aliases = cells.get("aliases", "").replace(";", " ").replace(",", " ").split()
    return KeyWords(**texts, aliases=aliases)


def make(wanted: Sequence[Wanted], *, progress: Callable[[int, int], object]) -> list[MintedKey]:
    """Make all the keys, or none; ``progress`` hears how many, of how many.

    Raises:
        django.core.exceptions.ValidationError: a key came to be meanwhile that has one of the names.
    """
    made = []
    with transaction.atomic():
        for entry in wanted:
            made.append(keys.mint_for(entry.row))
            progress(len(made), len(wanted))
    return made


def written(made: Sequence[MintedKey]) -> str:
    """The keys in clear with their names, as CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(MADE_COLUMNS)
    for minted in made:
        row = minted.row
        cells = (
            row.team.slug,
            row.name,
            row.default_project.slug if row.default_project else "",
            row.owner.get_username() if row.owner else "",
            row.expires_at.isoformat() if row.expires_at else "",
        )
        writer.writerow([*(inert(cell) for cell in cells), minted.secret])
    return out.getvalue()
