"""What Django loads for ``ENGINE``: its own PostgreSQL, with connections that are given up where nothing comes."""

import time
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen

from llmgateway.postgres import waits


class Silent(psycopg.OperationalError):
    """The server says nothing, and the connection was given up."""


class Connection(psycopg.Connection[Any]):
    """One that is given up, and closed, where the server says nothing for too long (``waits.py``)."""

    def wait(self, gen: PQGen[Any], *words: Any, **named: Any) -> Any:
        """What ``gen`` comes to."""
        try:
            return super().wait(limited(gen), *words, **named)
        except Silent:
            self.close()
            raise


def limited(waiting: PQGen[Any]) -> PQGen[Any]:
    """The same, but with an end. psycopg goes on with it ten times a second, also where there is nothing to read.

    Raises:
        Silent: the server said nothing for too long.
    """
    began_s = heard_s = time.monotonic()
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            now_s = time.monotonic()
            if ready:
                heard_s = now_s
            elif waits.is_over(began_s=began_s, heard_s=heard_s, now_s=now_s):
                raise Silent(f"PostgreSQL has said nothing for {now_s - heard_s:.0f} s: given up")
            wanted = waiting.send(ready)
    except StopIteration as end:
        return end.value


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, whose driver makes such connections."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": Connection.connect})
