"""Secrets in a file: references to environment variables, or, with a warning, the secrets themselves."""

import re

from django.core.exceptions import ImproperlyConfigured

from llmgateway.configuration.faults import Import
from llmgateway.environment import env_given_secret

REFERENCE = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")


def read_secret(run: Import, text: str, line: int) -> str | None:
    """What the text stands for; None after a fault."""
    word = text.strip()
    reference = REFERENCE.match(word)
    if reference is None and word.startswith("${"):
        run.fault(line, f"{word} does not name an environment variable")
        return None
    if reference is None:
        run.warnings.append(f"line {line}: a secret stands in clear in the file; name a variable")
        return text
    if reference[1].startswith(run.closed):
        run.fault(line, f"refers to a variable of the gateway itself: {reference[1]}")
        return None
    try:
        secret = env_given_secret(reference[1])
    except ImproperlyConfigured as error:
        run.fault(line, str(error))
        return None
    if not secret:
        run.fault(line, f"the environment variable {reference[1]} is not set")
        return None
    return secret
