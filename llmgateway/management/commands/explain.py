"""Shows what would happen to a request, step by step, without sending it."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounting.models import Team, UsageRecord
from accounting.snapshot import KeyPicture
from conversion.dialects import Dialect
from conversion.terminals import inert
from llmgateway.explanation import NOBODY, bystander, explain
from llmgateway.explanation_asks import (
    CLIENT_DIALECTS,
    HeaderUnreadable,
    KeyUnknown,
    Question,
    anybody_of,
    key_named,
    question_of_record,
)
from llmgateway.explanation_words import to_json, to_text
from llmgateway.runtime import refresh_pictures

OWN_MEMORY = (
    "Latencies, cooldowns and sessions are known to serving processes only: here every target counts as ready. "
    "The admin's page “Explain route” shows those of the process that answers it."
)


class Command(BaseCommand):
    help = (
        "Explain a request without sending it: alias, route and targets with the reasons, the exact request to each "
        "provider with secrets masked, and an estimate of the cost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--file",
            metavar="REQUEST.json",
            help="The client's body; - reads it from standard input.",
        )
        parser.add_argument(
            "--dialect",
            choices=[dialect.value for dialect in CLIENT_DIALECTS],
            default=Dialect.ANTHROPIC_MESSAGES.value,
        )
        parser.add_argument(
            "--team", default="", metavar="TEAM", help="Who asks: the team's short name."
        )
        parser.add_argument(
            "--key", default="", metavar="NAME", help="Who asks: the name of the team's API key."
        )
        parser.add_argument(
            "--record",
            metavar="USAGE_ID",
            help="Explain what a usage record's request would do now.",
        )
        parser.add_argument(
            "--header",
            action="append",
            default=[],
            metavar="'NAME: VALUE'",
            help="A header of the client's; may be given several times.",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON.")

    def handle(self, *_args: Any, **options: Any) -> None:
        if bool(options["file"]) == bool(options["record"]):
            raise CommandError(
                "Say what to explain: --file REQUEST.json, --file - or --record USAGE_ID."
            )
        refresh_pictures()
        try:
            question = self._question(options)
            explanation = explain(
                question.to_request(),
                question.key,
                bystander(),
                remarks=(*question.remarks, OWN_MEMORY),
            )
        except (HeaderUnreadable, KeyUnknown) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            to_json(explanation) if options["json"] else inert(to_text(explanation)), ending=""
        )

    def _question(self, options: dict[str, Any]) -> Question:
        if not options["record"]:
            body = _read(options["file"])
            return Question(
                body, Dialect(options["dialect"]), tuple(options["header"]), _key(options)
            )
        record = UsageRecord.objects.filter(pk=options["record"]).first()
        if record is None:
            raise CommandError(f"There is no usage record {options['record']!r}.")
        question = question_of_record(record, may_see_body=True)
        key = _key(options) if options["team"] else question.key
        return Question(
            question.body,
            question.dialect,
            (*question.headers, *options["header"]),
            key,
            question.remarks,
        )


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from error


def _key(options: dict[str, Any]) -> KeyPicture:
    if options["key"] and not options["team"]:
        raise CommandError("Say whose key it is: --team TEAM --key NAME.")
    if options["key"]:
        return key_named(options["team"], options["key"])
    if not options["team"]:
        return NOBODY
    if not Team.objects.filter(slug=options["team"]).exists():
        raise CommandError(f"There is no team {options['team']!r}.")
    return anybody_of(options["team"])
