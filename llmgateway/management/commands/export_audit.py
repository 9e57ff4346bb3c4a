"""Writes audit entries as JSON lines, to be kept where nobody who runs the gateway can change them."""

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Max, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from accounting.audit import exports
from accounting.models import AuditEntry
from llmgateway.progress import ProgressBar


def since(text: str) -> int | datetime:
    """An entry's number, a day, or a moment; days begin and moments are meant in UTC where they do not say otherwise."""
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        moment = parse_datetime(text)
        day = None if moment else parse_date(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: {error}") from error
    if day:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    if moment is None:
        raise argparse.ArgumentTypeError(
            "write a number such as 1001, a day such as 2026-11-01, or a moment such as 2026-11-01T08:00Z"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Print audit entries as JSON lines, in order. The lines hold the digests: verify_audit --file verifies them anywhere, "
        "and knows by them whether entries were taken from between."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--since",
            type=since,
            default=0,
            metavar="NUMBER|DATE",
            help="Begin with this entry, or with the first of this day or moment (UTC). Default: all.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        entries = chosen(options["since"])
        last = entries.aggregate(last=Max("number"))["last"] or 0
        first = entries.order_by("number").values_list("number", flat=True).first() or 0
        bar = ProgressBar(sys.stderr, "Exporting")
        try:
            for rows in exports.in_pieces(entries):
                lines = exports.json_lines(exports.line_of(entry) for entry in rows)
                self.stdout.write(lines.decode(), ending="")
                bar(rows[-1].number - first + 1, last - first + 1)
        finally:
            bar.end()


def chosen(begin: int | datetime) -> QuerySet[AuditEntry]:
    """The entries from a number or a moment on.

    By the number of the first entry of that moment: clocks may be set back, numbers go on.
    """
    entries = AuditEntry.objects.all()
    if isinstance(begin, int):
        return entries.filter(number__gte=begin)
    first = (
        entries.filter(at__gte=begin).order_by("number").values_list("number", flat=True).first()
    )
    return entries.filter(number__gte=first) if first is not None else entries.none()
