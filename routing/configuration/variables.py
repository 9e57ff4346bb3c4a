"""Names the environment variables that stand for secrets in an exported file."""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256


def variable_name(slug: str, label: str) -> str:
    """The variable for the secret of a provider's credential, as far as no other credential has the same."""
    name = re.sub(r"[^A-Z0-9]+", "_", f"{slug}_{label}_SECRET".upper())
    return f"_{name}" if name[0].isdigit() else name


def variable_names(credentials: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The variable of each credential (slug and label), no two the same.

    Those whose names differ in nothing that a variable can hold (``main-1`` and ``main.1``) all end in a few figures
    made of the label as it is. None keeps the plain name: whoever else is added, it never comes to mean another secret.
    """
    plain = {pair: variable_name(*pair) for pair in credentials}
    count = Counter(plain.values())
    return {
        pair: name if count[name] == 1 else f"{name}_{_figures(*pair)}"
        for pair, name in plain.items()
    }


def _figures(slug: str, label: str) -> str:
    return sha256(f"{slug}/{label}".encode()).hexdigest()[:8].upper()
