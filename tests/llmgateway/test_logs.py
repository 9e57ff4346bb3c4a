"""How a log line looks."""

import json
import logging
import sys
from typing import Any

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from llmgateway.logs import JsonFormatter, LineFormatter


def line_of(message: str, *words: object, **fields: Any) -> str:
    return LineFormatter().format(record_of(message, *words, **fields))


def record_of(message: str, *words: object, **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "llmgateway.test",
            "levelname": "INFO",
            "levelno": logging.INFO,
            "msg": message,
            "args": words,
            "created": 1_795_000_000.0625,
            **fields,
        }
    )


def test_a_line_holds_time_level_logger_and_message():
    assert line_of("it happened") == (
        "2026-11-18T11:06:40.062+00:00 INFO llmgateway.test: it happened"
    )


def test_fields_follow_as_key_and_value():
    line = line_of("request", request_id="req_1", ms=12, model="a b")

    assert line.endswith("request request_id=req_1 ms=12 model='a b'")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", "''"),
        ("a=b", "'a=b'"),
        ('say "hi"', "'say \"hi\"'"),
        ("it's", '"it\'s"'),
        (1.5, "1.5"),
    ],
)
def test_a_value_that_could_be_misread_is_quoted(value, shown):
    assert line_of("x", value=value).endswith(f" value={shown}")


def test_a_field_without_a_value_is_left_out():
    assert "value" not in line_of("x", value=None)


def test_nobody_can_forge_a_second_line():
    line = line_of("name %s", "a\nb", model="c\r\nINFO forged", alias="d\ne")

    assert "\n" not in line
    assert "\r" not in line
    assert "a\\nb" in line


def test_a_traceback_stands_on_the_lines_after():
    try:
        raise ValueError("inside")
    except ValueError:
        line = line_of("failed", exc_info=sys.exc_info())

    first, *rest = line.split("\n")
    assert first.endswith(": failed")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: inside"


def test_what_the_server_adds_for_colours_is_left_out():
    assert line_of("x", color_message="y", taskName="Task-1", _hidden="z").endswith(": x")


def test_a_record_of_many_lines_becomes_that_many():
    text = line_of("attempt", lines=[{"alias": "a b", "ms": 5}, {"alias": "c\nd", "ms": None}])
    first, second = text.split("\n")

    assert first.endswith("attempt alias='a b' ms=5")
    assert second.endswith("attempt alias='c\\nd'")


def test_a_secret_in_what_went_wrong_is_masked():
    try:
        raise ValueError("Invalid header: Authorization: Bearer sk-or-v1-planted-secret-0123456789")
    except ValueError:
        line = line_of(
            "failed", exc_info=sys.exc_info(), levelno=logging.ERROR, reason="sk-or-v1-planted-1"
        )

    assert "planted" not in line
    assert "reason=[masked]" in line
    assert line.endswith("Authorization: Bearer [masked]")


def test_of_a_page_that_was_refused_the_query_is_left_out():
    request = RequestFactory().get("/usage/sign-in/from/x/", {"code": "one-time", "state": "s"})
    record = record_of("Bad Gateway: %s", request.path, request=request, status_code=502)
    line, told = LineFormatter().format(record), JsonFormatter().format(record)

    assert line.endswith(" request='GET /usage/sign-in/from/x/' status_code=502")
    assert json.loads(told)["request"] == "GET /usage/sign-in/from/x/"


def objects_of(message: str, **fields: Any) -> list[dict[str, Any]]:
    lines = JsonFormatter().format(record_of(message, **fields)).split("\n")
    return [json.loads(line) for line in lines]


def test_json_holds_the_same_as_one_object():
    assert objects_of("request", request_id="req_1", ms=12, cost=None, model='a "b"\nc') == [
        {
            "time": "2026-11-18T11:06:40.062+00:00",
            "level": "INFO",
            "logger": "llmgateway.test",
            "message": "request",
            "request_id": "req_1",
            "ms": 12,
            "model": 'a "b"\nc',
        }
    ]


def test_json_of_a_batch_is_an_object_for_each_line():
    told = objects_of("attempt", lines=[{"ms": 1}, {"ms": 2}])
    assert [line["ms"] for line in told] == [1, 2]


def test_json_holds_the_traceback_and_no_secret():
    try:
        raise ValueError("refused: Bearer sk-or-v1-0123456789abcdef0123456789abcdef")
    except ValueError:
        (told,) = objects_of(
            "it failed",
            levelno=logging.WARNING,
            levelname="WARNING",
            exc_info=sys.exc_info(),
            said='{"key": "sk-or-v1-0123456789abcdef0123456789abcdef"}',
            count=7,
        )
    assert "ValueError: refused" in told["traceback"]
    assert "0123456789abcdef" not in json.dumps(told)
    assert told["count"] == 7


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=4) | st.integers() | st.none()))
def test_values_are_quoted_as_if_each_were_alone(fields):
    together = line_of("x", lines=[fields])
    alone = [line_of("x", lines=[{name: value}]) for name, value in fields.items()]
    head = line_of("x")
    assert together == head + "".join(line.removeprefix(head) for line in alone)
