"""What changed from one text of the configuration to another, one entry after the other."""

import pytest

from routing.differences import difference, entries_of

OLD = """\
providers:
  one:
    kind: demo
    retries:
      max: 1
  two:
    kind: demo
    retries:
      max: 1
aliases: {}
transformations:
- kind: regex
  pattern: a
flags:
  bypass_litellm: true
"""


def test_entries_are_told_apart_by_their_headings():
    entries = entries_of(OLD)

    assert list(entries) == [
        "providers",
        "providers: one",
        "providers: two",
        "aliases",
        "transformations",
        "flags",
        "flags: bypass_litellm",
    ]
    assert entries["providers: two"].start == 5
    assert [line for entry in entries.values() for line in entry.lines] == OLD.splitlines()


def test_a_changed_line_stands_under_its_entry():
    new = OLD.replace("max: 1\naliases", "max: 2\naliases")

    assert difference(OLD, new) == [
        "@@ -6,4 +6,4 @@ providers: two",
        "   two:",
        "     kind: demo",
        "     retries:",
        "-      max: 1",
        "+      max: 2",
    ]


def test_an_entry_that_comes_or_goes_is_told_as_a_whole():
    new = OLD.replace("  two:\n    kind: demo\n    retries:\n      max: 1\n", "")
    lines = ["  two:", "    kind: demo", "    retries:", "      max: 1"]

    assert difference(OLD, new) == ["@@ -6,4 +1,0 @@ providers: two", *(f"-{x}" for x in lines)]
    assert difference(new, OLD) == ["@@ -1,0 +6,4 @@ providers: two", *(f"+{x}" for x in lines)]


def test_places_far_apart_in_one_entry_are_hunks_of_their_own():
    old = "providers:\n  one:\n" + "".join(f"    k{n}: 1\n" for n in range(30))
    new = old.replace("k2: 1", "k2: 2").replace("k25: 1", "k25: 2")

    hunks = [line for line in difference(old, new) if line.startswith("@@")]

    assert hunks == ["@@ -2,7 +2,7 @@ providers: one", "@@ -25,7 +25,7 @@ providers: one"]


@pytest.mark.parametrize(("old", "new"), [("", ""), (OLD, OLD)])
def test_the_same_text_has_no_difference(old, new):
    assert difference(old, new) == []


def test_the_first_text_is_all_new():
    assert [line[1:] for line in difference("", OLD) if line[0] == "+"] == OLD.splitlines()
