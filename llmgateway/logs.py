"""How a log line looks: time, level, logger, a constant message, then the fields; no secret in it.

For people as ``key=value``, for programs as a JSON object (``GATEWAY_LOG_FORMAT``).
"""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from accounting.masking import Masker

_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


_MASKER = Masker()
_ODD = re.compile(r"[\s\"'=]")


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
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_")
    }


def _line(head: str, fields: Mapping[str, object]) -> str:
    words = [f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None]
    line = " ".join([head, *words])
    return line.replace("\n", "\\n").replace("\r", "\\r") if "\n" in line or "\r" in line else line


def _quoted(value: object) -> str:
    if type(value) is int:
        return str(value)
    text = str(value)
    return text if text and text.isprintable() and not _ODD.search(text) else repr(text)
