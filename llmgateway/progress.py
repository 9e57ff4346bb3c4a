"""A bar of plain text that grows while a command works; nothing where nobody watches."""

from typing import Protocol

WIDTH = 30


class Stream(Protocol):
    """What a bar is drawn on: a command's standard error."""

    def write(self, text: str, /) -> object:
        """Take some text."""

    def flush(self) -> object:
        """Show it."""

    def isatty(self) -> bool:
        """Whether a terminal shows it."""


class ProgressBar:
    """Called with how much is done, of how much; draws only on a terminal."""

    def __init__(self, stream: Stream, what: str) -> None:
        self._stream = stream
        self._what = what
        self._is_drawn = False
        self._is_watched = stream.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        if not self._is_watched or not total:
            return
        bar = "#" * (WIDTH * done // total)
        self._stream.write(f"\r{self._what} [{bar:<{WIDTH}}] {done}/{total}")
        self._stream.flush()
        self._is_drawn = True

    def end(self) -> None:
        """Leave the bar behind."""
        if self._is_drawn:
            self._stream.write("\n")
        self._is_drawn = False
