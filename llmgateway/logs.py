"""How a log line looks: time, level, logger, a constant message, then the fields; no secret in it.

For people as ``key=value``, for programs as a JSON object (``GATEWAY_LOG_FORMAT``).
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson
from django.http import HttpRequest

from accounting.masking import Masker

_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


_MASKER = Masker()


class LineFormatter(logging.Formatter):
    """One line per record; a value with spaces or quotes is quoted, none is left out, a line break is escaped.

    A record with ``lines``, a list of mappings, becomes a line for each of them: what happens thousands of times
    a second is logged by the batch, because a record of its own would cost more than what it tells of.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, with its traceback on the lines after it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = f"{moment} {record.levelname} {record.name}: {record.getMessage()}"
        lines = getattr(record, "lines", None)
        if lines is not None:
            return "\n".join(_line(head, fields) for fields in lines)
        line = _line(head, _fields(record))
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        # Lines below a warning hold names and counts only; what went wrong may repeat what others said.
        return _MASKER.words(line) if record.levelno >= logging.WARNING else line


class JsonFormatter(logging.Formatter):
    """One object per record: time, level, logger, message, the fields, and a traceback where there is one.

    A record with ``lines`` becomes an object for each of them, as above.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        lines = getattr(record, "lines", None)
        if lines is not None:
            return "\n".join(_object({**told, **fields}) for fields in lines)
        told.update(_fields(record))
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        if record.levelno >= logging.WARNING:
            # One by one: a mask that swallowed a quotation mark would leave what is no JSON.
            told = {name: _masked(value) for name, value in told.items()}
        return _object(told)


def _masked(value: object) -> object:
    return value if isinstance(value, int | float | None) else _MASKER.words(str(value))


def _object(told: Mapping[str, object]) -> str:
    known = {name: value for name, value in told.items() if value is not None}
    return orjson.dumps(known, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_")
    }
    request = fields.get("request")
    if isinstance(
        request, HttpRequest
    ):  # Django's own; behind the ? an identity provider says its code
        fields["request"] = f"{request.method} {request.path}"
    return fields


def _line(head: str, fields: Mapping[str, object]) -> str:
    texts = {name: str(value) for name, value in fields.items() if value is not None}
    if _is_plain("".join(texts.values())) and "" not in texts.values():
        # As nearly all are, looked at all together: to look at each would take most of the line's time.
        words = [f"{name}={text}" for name, text in texts.items()]
    else:
        words = [f"{name}={_quoted(text)}" for name, text in texts.items()]
    line = " ".join([head, *words])
    return line.replace("\n", "\\n").replace("\r", "\\r") if "\n" in line or "\r" in line else line


def _quoted(text: str) -> str:
    return text if text and _is_plain(text) else repr(text)


def _is_plain(text: str) -> bool:
    """Whether it can be read without quotes; of white space, only a plain space is printable."""
    return text.isprintable() and not (" " in text or '"' in text or "'" in text or "=" in text)
