#!/usr/bin/env python
"""Django's command line for the gateway."""

import os
import sys

from django.core.management import execute_from_command_line

from accounting.audit import actors

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
    actors.process_is(actors.of_command_line(sys.argv))
    execute_from_command_line(sys.argv)
