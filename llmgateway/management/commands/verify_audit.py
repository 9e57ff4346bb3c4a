"""Examines the audit trail: whether an entry was changed, removed, put in or moved."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from accounting.audit import guard, trail
from accounting.audit.trail import Anchor, Verdict
from accounting.models import AuditEntry
from llmgateway.progress import ProgressBar

ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")
NO_GUARD = (
    "The database's triggers that keep entries from being changed are not there: somebody took them away, "
    "or a migration made the table anew."
)


def anchor(text: str) -> Anchor:
    """An entry's number and digest as the log has them, such as 17:8a76…"""
    found = ANCHOR.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            "write NUMBER:DIGEST, as the log has audit_number and audit_digest"
        )
    return Anchor(int(found[1]), found[2])


class Command(BaseCommand):
    help = (
        "Verify the audit trail. Exit code 1 when an entry was changed, removed, put in or moved. What was cut off at the "
        "end is found by the last sound verification, and by entries that were noted elsewhere (--expect)."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--expect",
            action="append",
            default=[],
            type=anchor,
            metavar="NUMBER:DIGEST",
            help="An entry that must be there, as the log has it; may be given several times.",
        )
        parser.add_argument(
            "--file",
            metavar="FILE",
            help="Verify JSON lines that export_audit wrote (- for standard input), instead of the database.",
        )
        parser.add_argument("--json", action="store_true", help="Print the verdict as JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        verdict = self._verdict(options["file"], options["expect"])
        if options["json"]:
            self.stdout.write(json.dumps(tree_of(verdict)))
        else:
            self._tell(verdict)
        if not verdict.is_sound:
            sys.exit(1)

    def _verdict(self, file: str | None, expected: list[Anchor]) -> Verdict:
        bar = ProgressBar(sys.stderr, "Verifying")
        try:
            if file is None:
                also = [] if guard.is_installed(connection) else [NO_GUARD]
                return trail.verify(expected=expected, also=also, progress=bar)
            return trail.examine(entries_in(file), expected=expected, begins=False)
        finally:
            bar.end()

    def _tell(self, verdict: Verdict) -> None:
        for fault in verdict.faults:
            self.stderr.write(fault)
        if not verdict.is_sound:
            self.stderr.write(f"NOT SOUND: {verdict.entries} entries were examined.")
        elif verdict.newest is None:
            self.stdout.write("There is no entry yet.")
        else:
            newest = f"{verdict.newest.number}:{verdict.newest.digest}"
            self.stdout.write(f"Sound: {verdict.entries} entries, the newest is {newest}")


def tree_of(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON has it."""
    newest = verdict.newest
    return {
        "sound": verdict.is_sound,
        "entries": verdict.entries,
        "newest": {"number": newest.number, "digest": newest.digest} if newest else None,
        "faults": list(verdict.faults),
    }


def entries_in(file: str) -> Iterator[AuditEntry]:
    """The entries of an exported file, line by line.

    Raises:
        CommandError: the file cannot be read, or a line of it is none of ours.
    """
    try:
        with nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _entry_of(line, file, number)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error


def _entry_of(line: str, file: str, number: int) -> AuditEntry:
    try:
        return trail.entry_from(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{file}, line {number} is no audit entry.") from error
