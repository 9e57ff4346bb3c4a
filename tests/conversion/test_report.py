"""The notes of a conversion."""

import pytest

from conversion.report import NOTES_MAX, Note, Report


def test_what_was_left_out_is_listed_once_without_positions():
    report = Report()
    report.dropped("tools[3].input_examples", "why")
    report.mapped("max_tokens", "why")
    report.dropped("tools[4].input_examples", "why")
    report.dropped("speed", "why")

    assert report.dropped_paths == ["tools[].input_examples", "speed"]


def test_notes_keep_the_order_in_which_they_came_up():
    report = Report()
    report.dropped("top_k", "no top_k here")
    report.mapped("max_tokens", "cut down")

    assert report.notes == [
        Note("dropped", "top_k", "no top_k here"),
        Note("mapped", "max_tokens", "cut down"),
    ]


def test_a_report_without_notes_left_nothing_out():
    assert Report().dropped_paths == []
    assert Report().notes is not Report().notes


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        ("speed", "speed"),
        ("system[0]", "system[]"),
        ("messages[12].content[3].citations", "messages[].content[].citations"),
        ("tools[].name", "tools[].name"),
    ],
)
def test_positions_in_lists_are_folded(path, folded):
    report = Report()
    report.dropped(path, "why")

    assert report.dropped_paths == [folded]


def test_a_thousand_notes_are_two_hundred_and_one_that_says_there_were_more():
    report = Report()
    for number in range(1000):
        report.dropped(f"metadata.{number}", "why")

    assert len(report.notes) == NOTES_MAX + 1
    assert report.notes[NOTES_MAX - 1].path == f"metadata.{NOTES_MAX - 1}"
    assert report.notes[-1].path == report.dropped_paths[-1] == "..."


def test_a_clients_endless_names_are_cut():
    report = Report()
    report.mapped("x" * 100_000, "y" * 100_000)

    [note] = report.notes
    assert (len(note.path), len(note.why)) == (200, 200)
