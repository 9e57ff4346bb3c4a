"""What a terminal would obey is written out."""

from conversion.terminals import inert


def test_line_breaks_and_words_stay():
    assert inert("a\n\tb ü 🙂") == "a\n\tb ü 🙂"
    assert inert("\x1b\x9b\u202e\r") == "\\x1b\\x9b\\u202e\\x0d"
