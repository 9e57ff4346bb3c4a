"""Names the environment variables that stand for secrets in an exported file."""

import re


def variable_name(slug: str, label: str) -> str:
    """The environment variable that an exported file names for a credential's secret."""
    name = re.sub(r"[^A-Z0-9]+", "_", f"{slug}_{label}_SECRET".upper())
    return f"_{name}" if name[0].isdigit() else name
