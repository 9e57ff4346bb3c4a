"""What secrets look like: header names that hold one, and texts that are one. Expressions of RE2, in linear time.

In doubt a text counts as a secret: a word too many masked in a log is a nuisance, a key in it is a leak.
"""

from typing import Any

import re2

OWN_KEY = r"gwm?-[0-9A-Za-z]{20,}"
"""The gateway's own keys (accounting/keys.py) and tokens (llmgateway/api/tokens.py), also one that is cut off."""

# Where a word may begin: in JSON a line break before it is written as \n, which ends in a letter.
_BEGIN = r"(?:\b|_|\\[nrtbf]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})"
_KEY_NAMES = (
    r"(?:[\w-]*(?:api[_-]?key|apikey|secret|passw(?:or)?d|passphrase|authorization|credential|private[_-]?key|"
    r"access[_-]?key)[\w-]*|(?:[\w-]*[_-])?token)"
)

WHOLE = (
    OWN_KEY,
    r"sk-(?:ant|or|proj|svcacct|admin|lf|litellm)-[\w-]{8,}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{30,}",
    r"ya29\.[0-9A-Za-z_-]{20,}",
    r"gh[pousr]_[0-9A-Za-z]{20,}",
    r"github_pat_\w{20,}",
    r"glpat-[\w-]{16,}",
    r"xox[a-z]-[0-9A-Za-z-]{10,}",
    r"xapp-[0-9A-Za-z-]{10,}",
    r"(?:gsk|hf|npm|r8)_[0-9A-Za-z]{20,}",
    r"(?:xai|pplx)-[0-9A-Za-z]{20,}",
    r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{10,}",
    r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*",
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
)
"""Texts that are secrets by their form alone."""

VALUES = (
    _BEGIN + r"(sk-[\w-]{16,})",
    r"(?i:bearer)(?:\s|%20|\+)+([\w.~+/=-]{8,})",
    r"(?i:basic)(?:\s|%20|\+)+([\w.~+/=-]{20,})",
    # Members of JSON, also of JSON within a text of JSON, and settings in the manner of a shell.
    r'(?i)"' + _KEY_NAMES + r'"\s*:\s*"((?:[^"\\]|\\(?s:.))+)',
    r'(?i)\\+"' + _KEY_NAMES + r'\\+"\s*:\s*\\+"([^"\\]+)',
    r"(?:KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIALS?)=\\*[\"']?([^\s\"'\\<>&;,)]{4,})",
    r"(?i)[?&](?:key|api[_-]?key|[\w-]*token|sig|signature|secret|password)=([^\s\"'\\<>&]+)",
    r"(?i)[a-z][a-z0-9+.-]*://[^\s/:@\"'\\]*:([^\s/@\"'\\]+)@",
)
"""Texts that are secrets by what stands before them; the first group is the secret."""

TAIL = (
    r"(?:" + _BEGIN + r"sk-|gwm?-|AKIA|AIza|gh[pousr]_|github_pat_|xox[a-z]-|eyJ)"
    r"[\w./+=-]*\z"
)
"""The beginning of a secret at the very end of a text that breaks off."""


def compile_bytes(pattern: str) -> Any:
    """The expression, for texts of bytes in UTF-8.

    Raises:
        re2.error: it is none.
    """
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern.encode(), options)


WHOLE_RE = compile_bytes("|".join(f"(?:{shape})" for shape in WHOLE))
VALUE_RES = tuple(compile_bytes(shape) for shape in VALUES)
TAIL_RE = compile_bytes(TAIL)

_CREDENTIAL_PARTS = ("auth", "cookie", "secret", "passw", "credential", "apikey", "signature")
_CREDENTIAL_ENDS = ("key", "token", "jwt")


def is_credential_header(name: str) -> bool:
    """Whether a header of this name holds a credential: ``x-api-key`` does, ``x-ratelimit-remaining-tokens`` does not."""
    lowered = name.lower()
    if any(part in lowered for part in _CREDENTIAL_PARTS):
        return True
    return any(word.endswith(_CREDENTIAL_ENDS) for word in lowered.replace("_", "-").split("-"))
