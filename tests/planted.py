"""Text that a page, a spreadsheet or a terminal would act on if it were let, and how to tell that it was."""

import csv
import io
from html.parser import HTMLParser

CODE = "alert(1)"
MARKUP = f"<script>{CODE}</script>\"'><img src=x onerror={CODE}>"
TERMINAL = "\x1b[31m\x9b2J"
FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1")
EVAL = ("on", "x-", "@", ":")
"""How attributes begin whose text a browser, or a script of the admin, takes for a program."""
ADDRESSES = frozenset({"href", "src", "action", "formaction", "hx-get", "hx-post"})


def planted(number: int = 0) -> str:
    """A text of 64 characters that begins like one of the formulas, with markup and what a terminal obeys."""
    return f"{FORMULAS[number % len(FORMULAS)]}{TERMINAL}{MARKUP}"[:64]


class _Reader(HTMLParser):
    """Notes what of a page is more than text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        self._is_script = tag == "script" and values.get("type") != "application/json"
        if tag == "img" and values.get("src") == "x":
            self.faults.append("a planted image")
        for name, value in values.items():
            if name.startswith(EVAL) and CODE in value:
                self.faults.append(f"{tag} {name}={value[:80]!r}")
            if name in ADDRESSES and value.strip().lower().startswith("javascript:"):
                self.faults.append(f"{tag} {name}={value[:80]!r}")

    def handle_endtag(self, _tag):
        self._is_script = False

    def handle_data(self, data):
        if self._is_script and CODE in data:
            self.faults.append(f"a script with {data[:80]!r}")


def faults_of_page(text: str) -> list[str]:
    """What of the planted text a browser would take for markup or a program."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.faults


def faults_of_sheet(text: str) -> list[str]:
    """The cells of a CSV file that a spreadsheet would calculate; negative numbers are numbers."""
    rows = csv.reader(io.StringIO(text, newline=""))
    return [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(cell)]  # fmt: skip


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return not cell.startswith(("\t", "\r", "+"))


def faults_of_terminal(text: str) -> list[str]:
    """The characters that a terminal would act on, beside line breaks and tabs."""
    return [repr(char) for char in text if char not in "\n\t" and not char.isprintable()]
