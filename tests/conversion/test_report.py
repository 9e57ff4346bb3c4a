"""The notes of a conversion."""

from conversion.report import Report


def test_what_was_left_out_is_listed_once_without_positions():
    report = Report()
    report.dropped("tools[3].input_examples", "why")
    report.mapped("max_tokens", "why")
    report.dropped("tools[4].input_examples", "why")
    report.dropped("speed", "why")

    assert report.dropped_paths == ["tools[].input_examples", "speed"]
