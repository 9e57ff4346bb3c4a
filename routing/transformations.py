"""Transformations of what is said, compiled: regular expressions of RE2, and JSONPath edits."""

import time
from dataclasses import dataclass

import jsonpath
import re2

FLAGS = {"i": "case_sensitive", "m": "one_line", "s": "dot_nl"}
TRIAL_S_MAX = 0.25
TRIAL_TEXT = (
    "The quick brown fox, sk-abcdefghijklmnopqrstuvwxyz0123456789 at 10.0.0.1: äöü\n" * 1500
)[:100_000]
LAST_SEGMENT = r"(?:\.([A-Za-z_][\w-]*)|\[(?:'([^']*)'|\"([^\"]*)\"|(-?\d+))\])$"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a transformation cannot be saved, and the field that is at fault."""

    field: str
    message: str


def problem_with(
    *, kind: str, pattern: str, flags: str, replacement: str, direction: str
) -> Problem | None:
    """What is wrong with a transformation; None when it can be applied, and does not take long."""
    del direction
    if kind == "regex":
        return _problem_with_regex(pattern, flags, replacement)
    try:
        jsonpath.compile(pattern)
    except jsonpath.JSONPathError as error:
        return Problem("pattern", f"Not a JSONPath: {error}")
    if not pattern.startswith("$"):
        return Problem("pattern", "A JSONPath begins with $, which is the body.")
    return None


def compile_regex(pattern: str, flags: str) -> "re2._Regexp[str]":
    """The expression, compiled.

    Raises:
        re2.error: it is none.
    """
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = "i" not in flags
    options.dot_nl = "s" in flags
    prefix = "(?m)" if "m" in flags else ""
    return re2.compile(prefix + pattern, options)


def _problem_with_regex(pattern: str, flags: str, replacement: str) -> Problem | None:
    unknown = sorted(set(flags) - FLAGS.keys())
    if unknown:
        return Problem("flags", f"Unknown: {', '.join(unknown)}. Known are i, m and s.")
    try:
        compiled = compile_regex(pattern, flags)
    except re2.error as error:
        reason = error.args[0]
        return Problem(
            "pattern",
            f"Not an RE2 expression: {reason.decode() if isinstance(reason, bytes) else reason}",
        )
    if compiled.search(""):
        return Problem("pattern", "It matches the empty text, which is everywhere.")
    began = time.process_time()
    try:
        compiled.sub(replacement, TRIAL_TEXT)
    except (re2.error, IndexError, ValueError):
        return Problem(
            "replacement", r"It names a group that the expression does not have; \\ is a backslash."
        )
    if time.process_time() - began > TRIAL_S_MAX:
        return Problem("pattern", "It takes too long on a text of 100,000 characters.")
    return None
