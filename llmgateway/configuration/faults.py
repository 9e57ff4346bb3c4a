"""What is wrong with a configuration file, and what an import has done."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something wrong in the file."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class ConfigurationFaulty(Exception):
    """The file cannot be applied; nothing was."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in sorted(faults)))
        self.faults = sorted(faults)


@dataclass(slots=True)
class Import:
    """One file on its way into the rows. ``changes`` are sentences, in the order in which they were made."""

    faults: list[Fault] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    told: dict[tuple[int, str], tuple[Any, int]] = field(default_factory=dict)
    """What the file said of a deployment already, by its primary key and the setting, with the line."""
    closed: tuple[str, ...] = ()
    """How the names of those environment variables begin that the file may not refer to."""

    def fault(self, line: int, message: str) -> None:
        """Note a fault and go on reading, so that all of them can be told at once."""
        self.faults.append(Fault(line, message))
