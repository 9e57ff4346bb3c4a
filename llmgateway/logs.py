"""How a log line looks: time, level, logger, a constant message, then the fields as key=value."""

import logging
from datetime import UTC, datetime

_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class LineFormatter(logging.Formatter):
    """One line per record; a value with spaces or quotes is quoted, none is left out, a line break in a value is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, with its traceback on the lines after it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        words = [f"{moment} {record.levelname} {record.name}: {record.getMessage()}"]
        for name, value in vars(record).items():
            if value is not None and name not in _STANDARD and not name.startswith("_"):
                words.append(f"{name}={_quoted(value)}")
        line = " ".join(words).replace("\n", "\\n").replace("\r", "\\r")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(mark in text for mark in " \"'=") else text
