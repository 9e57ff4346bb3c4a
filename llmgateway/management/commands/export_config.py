"""Writes the configuration as YAML."""

import argparse
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError

from llmgateway.configuration import export


class Command(BaseCommand):
    """Secrets are written as the names of environment variables, never in clear."""

    help = "Write the configuration as YAML, secrets as references to environment variables."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", default="-", help="The file; - for standard output (default)."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        text = yaml.safe_dump(
            export(), sort_keys=False, allow_unicode=True, default_flow_style=False
        )
        if options["file"] == "-":
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be written: {error.strerror}") from error
