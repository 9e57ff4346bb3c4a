"""Cells of files for spreadsheets: none of ours is to be taken for a formula."""

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet calculates (OWASP, CSV injection)."""


def inert(text: str) -> str:
    """The text behind an apostrophe where it begins like a formula."""
    return "'" + text if text.startswith(FORMULA_MARKS) else text


def as_written(cell: str) -> str:
    """The text that :func:`inert` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_MARKS) else cell
